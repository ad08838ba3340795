"""The forms in which a CPU may hold the weights, side by side: what reading and writing cost in each.

    python -m benchmarks.machine.number_formats --json

The same network in bf16, laid out as we serve it, in 8 bits as we serve it with an adapter, with and
without smoothing, in fp32, in NF4 by bitsandbytes, in int8 by torch's dynamic quantization, and bf16 through
torch.compile; passes over 512 tokens and over one token of 1 and 32 rows, without a cache. Rounds alternate,
medians are told. `largest_difference` is of the last position's log-probabilities to fp32's.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from transformers import AutoTokenizer

from benchmarks.comparison.comparison_report import machine
from benchmarks.comparison.plain_weights import save_plain
from models.settings import load_settings
from worker.engine.network import int8_layers
from worker.engine.network.linear import Product
from worker.engine.network.model_loader import SAMPLE
from worker.engine.network.smoothquant import smooth
from worker.weights.model_files import nf4

SHAPES = {"read_512": (1, 512), "write_1": (1, 1), "write_32": (32, 1)}


def main(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds a pass by form and shape."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    with TemporaryDirectory(prefix="notemill-forms-") as folder:
        forms, missing = _forms(save_plain(load_settings(), Path(folder) / "plain"))
    inputs = {name: torch.randint(10, 40_000, shape) for name, shape in SHAPES.items()}
    seconds: dict[str, dict[str, list[float]]] = {name: {shape: [] for shape in SHAPES} for name in forms}
    exact = _last(forms["fp32"], inputs["read_512"])
    told = {name: float((_last(one, inputs["read_512"]) - exact).abs().max()) for name, one in forms.items()}
    for _ in range(options.rounds):
        for name, network in forms.items():
            for shape, tokens in inputs.items():
                seconds[name][shape].append(_timed(network, tokens))
    found = {
        name: {shape: round(statistics.median(some), 5) for shape, some in of.items()}
        | {"largest_difference": round(told[name], 3)}
        for name, of in seconds.items()
    }
    return {"forms": found, "missing": missing, "rounds": options.rounds, **machine(options.threads)}


def _forms(plain: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """By name; and why one is not there."""
    bf16 = _load(plain, torch.bfloat16)
    makers: dict[str, Callable[[], Any]] = {
        "bf16": lambda: bf16,
        "bf16, laid out": lambda: _laid_out(copy.deepcopy(bf16)),
        "8 bits": lambda: _in_eight_bits(copy.deepcopy(bf16)),
        "8 bits, smoothed": lambda: _in_eight_bits(_smoothed(copy.deepcopy(bf16), plain)),
        "fp32": lambda: copy.deepcopy(bf16).float(),
        "nf4": lambda: _load(plain, torch.bfloat16, quantization_config=nf4()),
        "int8": lambda: torch.ao.quantization.quantize_dynamic(copy.deepcopy(bf16).float(), {nn.Linear}),
        "bf16, compiled": lambda: torch.compile(copy.deepcopy(bf16), dynamic=False),
    }
    forms, missing = {}, {}
    for name, make in makers.items():
        try:
            network = make()
            _timed(network, torch.randint(10, 40_000, (1, 8)))
            forms[name] = network
        except Exception as error:  # noqa: BLE001  a form that this machine cannot have is told, not fatal
            missing[name] = f"{type(error).__name__}: {str(error)[:200]}"
    return forms, missing


def _load(plain: Path, dtype: torch.dtype, **more: Any) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(plain, dtype=dtype, **more).eval()


class _EightBits(nn.Module):
    """A product alone; where an adapter is served, what comes before and after is part of it."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self._product = int8_layers.Product(weight)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        given = int8_layers.Rounded.of(rows.flatten(0, -2))
        found = self._product(given.numbers).mul_(given.scales)
        return found.to(rows.dtype).unflatten(0, rows.shape[:-1])


def _laid_out(network: Any) -> Any:
    """Every linear layer as we serve it."""
    return _replaced(network, lambda _name, weight: Product(weight))


def _in_eight_bits(network: Any) -> Any:
    bf16 = ("down_proj", "lm_head")
    return _replaced(network, lambda name, weight: (Product if name in bf16 else _EightBits)(weight))


def _smoothed(network: Any, plain: Path) -> Any:
    text = SAMPLE.read_text("utf-8")
    smooth(network, AutoTokenizer.from_pretrained(plain)(text, return_tensors="pt").input_ids)
    return network


def _replaced(network: Any, make: Callable[[str, torch.Tensor], nn.Module]) -> Any:
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, make(name, child.weight))
    return network


def _timed(network: Any, tokens: torch.Tensor) -> float:
    began = time.perf_counter()
    with torch.inference_mode():
        network(tokens, use_cache=False, logits_to_keep=1)
    return time.perf_counter() - began


def _last(network: Any, tokens: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = network(tokens, use_cache=False, logits_to_keep=1).logits[0, -1]
    return logits.float().log_softmax(-1)


def table(found: dict[str, Any]) -> str:
    """For people; milliseconds."""
    lines = [f"{'':16}{'512 tokens':>12}{'1 row':>9}{'32 rows':>9}{'off by':>9}"]
    for name, one in found["forms"].items():
        cells = "".join(
            f"{1000 * one[shape]:>{width}.1f}" for shape, width in zip(SHAPES, (12, 9, 9), strict=True)
        )
        lines.append(f"{name:16}{cells}{one['largest_difference']:>9.3f}")
    return "\n".join([*lines, *(f"{name}: {why}" for name, why in found["missing"].items())])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    given = parser.parse_args()
    result = main(given)
    print(table(result), file=sys.stderr if given.json else sys.stdout)
    if given.json:
        print(json.dumps(result))
