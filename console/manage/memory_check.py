"""The memory plan as one line of the doctor, or as a table of its own.

Needs neither torch nor a GPU nor the weights, so that it can be asked before buying a card.
"""

from __future__ import annotations

import json

from rich.table import Table

from console.manage.doctor_check import Check
from console.manage.nvidia_smi import nvidia_cards
from console.terminal.exit_status import PROBLEM
from console.terminal.terminal import count_of, stdout
from models.settings import Settings, load_settings
from worker.engine.memory.device import DeviceFacts, free_ram_bytes
from worker.engine.memory.memory_plan import GIB, DoesNotFitError, MemoryPlan
from worker.engine.memory.model_shape import UnknownShapeError
from worker.engine.memory.plan_from_settings import plan_by_name, tokens_per_window
from worker.weights.model_files import WeightsError


def check_memory(settings: Settings) -> Check:
    """Checks that the weights fit the device that they would run on."""
    if settings.engine == "http":
        return Check("memory", True, "the network is a server's")
    device = present_device(settings)
    if device is None:
        return Check("memory", True, "cannot be told on this system; NOTEMILL_MEMORY_GIB sets a budget")
    try:
        plan = plan_by_name(settings, device)
    except (UnknownShapeError, WeightsError) as error:
        return Check("memory", True, f"cannot be planned yet: {error}")
    except DoesNotFitError as error:
        problem, _, todo = str(error).rpartition(": ")
        # Other programs may leave what they hold before a worker starts: no reason to refuse a run.
        return Check("memory", False, problem, todo, is_blocking=False)
    return Check("memory", True, _words(plan, settings, device))


def show_plan(weights: str, gib: float | None, *, as_json: bool) -> int:
    """Prints the plan of `weights` in `gib` GiB of a GPU, or on this machine; exit status 1 if it does not
    fit."""
    settings = load_settings().model_copy(update={"weights": weights} | ({"memory_gib": gib} if gib else {}))
    device = _asked_device(settings, gib)
    try:
        plan, error = plan_by_name(settings, device), None
    except DoesNotFitError as failure:
        plan, error = failure.plan, failure
    if as_json:
        print(json.dumps({"weights": weights, "fits": error is None, **plan.as_dict()}))
    else:
        stdout().print(_table(plan, device))
        stdout().print(str(error) if error else _words(plan, settings, device), soft_wrap=True)
    return PROBLEM if error else 0


def present_device(settings: Settings) -> DeviceFacts | None:
    """The device that a worker started now would use; None where that is unknown."""
    cards = nvidia_cards() if settings.device != "cpu" else ()
    if cards:
        return DeviceFacts("cuda", cards[0].free_bytes)
    free = free_ram_bytes()
    return None if free is None else DeviceFacts("cpu", free)


def _asked_device(settings: Settings, gib: float | None) -> DeviceFacts:
    if gib:
        return DeviceFacts("cpu" if settings.device == "cpu" else "cuda", int(gib * GIB))
    return present_device(settings) or DeviceFacts("cpu", 0)


def _table(plan: MemoryPlan, device: DeviceFacts) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("memory")
    table.add_column("GiB", justify="right")
    for name, size in (
        ("weights", plan.weights_bytes),
        ("adapter", plan.adapter_bytes),
        (f"largest step, {plan.step_tokens:,} tokens", plan.activation_bytes),
        *([("recorded steps", plan.recorded_bytes)] if plan.recorded_bytes else []),
        ("CUDA context" if device.kind == "cuda" else "process", plan.overhead_bytes),
        ("slack of the allocator", plan.slack_bytes),
        ("left for cached tokens", plan.left_bytes),
        ("budget", plan.budget_bytes),
    ):
        table.add_row(name, f"{size / GIB:.2f}")
    return table


def _words(plan: MemoryPlan, settings: Settings, device: DeviceFacts) -> str:
    """The plan in words, such as '17,879 cached tokens of 150 KiB, ...'."""
    windows = min(settings.max_batch_rows, plan.cached_tokens // tokens_per_window(settings))
    place = "GPU" if device.kind == "cuda" else "CPU"
    return (
        f"{place}, {settings.weights} in {plan.budget_bytes / GIB:.1f} GiB:"
        f" weights {plan.weights_bytes / GIB:.2f},"
        f" {plan.cached_tokens:,} cached tokens of {plan.bytes_a_token / 1024:.0f} KiB,"
        f" {count_of(windows, 'window')} of {settings.window_tokens} tokens side by side"
    )
