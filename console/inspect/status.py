"""`notemill status`: progress of the runs, one in detail or all in a table."""

from __future__ import annotations

import json
import time

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from console.processes.embedded_redis import embedded_url, with_redis
from console.run.time_breakdown import time_breakdown, time_breakdown_json
from console.terminal.opened_database import Database, database
from console.terminal.terminal import command_to_type, human_duration, human_time, stdout
from models.jobs import JobStatus
from models.progress import RunProgress
from models.settings import Settings, load_settings

_RUNS = 20
_BAR_WIDTH = 40
_SECONDS_BETWEEN_LOOKS = 1.0


def show_status(run_id: int | None, *, is_watching: bool, is_explaining: bool, as_json: bool) -> int:
    """Prints the last runs, or one. The exit status is 0, whatever the state of the runs."""
    settings = load_settings()
    with database(settings) as opened:
        if (is_watching or is_explaining) and run_id is None:
            run_id = opened.queries.latest_run_id()
        if run_id is None:
            return _show_runs(opened.queries.runs(_RUNS), settings, as_json=as_json)
        if is_watching:
            _watch(opened, run_id, as_json=as_json)
            if not is_explaining:
                return 0
        progress = opened.queries.run_progress(run_id)
        spent = opened.queries.run_usage(run_id) if is_explaining else None
        if as_json:
            costs = {} if spent is None else {"spent": time_breakdown_json(spent)}
            print(json.dumps(as_object(progress) | costs))
            return 0
        console = stdout()
        if not is_watching:
            console.print(detail(progress))
        if spent is not None:
            pace = progress.notes_an_hour
            console.print()
            console.print(time_breakdown(spent, is_done=progress.is_done, notes_an_hour=pace))
        for hint in hints([progress], settings):
            console.print(Text(hint, style="yellow"), soft_wrap=True)
    return 0


def _show_runs(runs: list[RunProgress], settings: Settings, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps([as_object(run) for run in runs]))
        return 0
    console = stdout()
    if not runs:
        console.print(f"No runs yet. Type: {command_to_type('run', 'examples/notes')}", soft_wrap=True)
        return 0
    console.print(overview(runs))
    for hint in hints(runs, settings):
        console.print(Text(hint, style="yellow"), soft_wrap=True)
    return 0


def _watch(opened: Database, run_id: int, *, as_json: bool) -> None:
    """Follows one run to its end; on a terminal in place, otherwise a line for each change."""
    console, last = stdout(), None
    progress = opened.queries.run_progress(run_id)
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            if as_json and progress != last:
                print(json.dumps(as_object(progress)), flush=True)
            elif console.is_terminal:
                live.update(detail(progress), refresh=True)
            elif progress != last:
                console.print(_line(progress), soft_wrap=True)
            if progress.is_done:
                return
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            last, progress = progress, opened.queries.run_progress(run_id)


def overview(runs: list[RunProgress]) -> Table:
    """A line for each run, newest first, within 80 columns; `detail` has the rest."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in (
        "run",
        "created",
        "notes",
        "jobs",
        "finished",
        "failed",
        "waiting",
    ):
        table.add_column(title, justify="left" if title == "created" else "right")
    table.add_column("state")
    for run in runs:
        numbers = (run.documents, run.total, run.finished, run.failed, run.pending + run.running)
        created = human_time(run.created_at)[: len("2026-01-31 23:59")]
        table.add_row(str(run.run_id), created, *(f"{number:,}" for number in numbers), run.state)
    return table


def detail(run: RunProgress) -> RenderableType:
    """One run: a bar, counts by task, reasons of failures, speed."""
    filled = _BAR_WIDTH * run.ended // max(run.total, 1)
    bar = Text("█" * filled + "░" * (_BAR_WIDTH - filled), style="green")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("jobs", *JobStatus):
        table.add_column(title, justify="left" if title == "jobs" else "right")
    for task, by_status in sorted(run.by_task.items()):
        table.add_row(task.value, *(f"{by_status[status]:,}" for status in JobStatus))
    lines = [Text(f"Failed, {reason}: {count:,}", "red") for reason, count in sorted(run.reasons.items())]
    return Group(Text(_line(run)), bar, table, *lines)


def _line(run: RunProgress) -> str:
    words = [
        f"Run {run.run_id}, {human_time(run.created_at)}: {run.state}, {run.ended:,} of {run.total:,} jobs"
    ]
    words.append(f"{run.documents:,} notes, {run.refused:,} refused")
    if run.notes_an_hour:
        words.append(f"{run.notes_an_hour:,.0f} notes an hour")
    if run.seconds_left is not None:
        words.append(f"about {human_duration(run.seconds_left)} left")
    return " · ".join(words)


def hints(runs: list[RunProgress], settings: Settings) -> list[str]:
    """The commands to type if jobs wait without a worker, or if some have failed."""
    hinted = []
    if any(run.pending and not run.is_cancelled for run in runs) and not any(run.running for run in runs):
        from console.processes.worker_ping import workers_alive

        served = with_redis(settings, embedded_url(settings)) if settings.is_redis_embedded else settings
        if not workers_alive(served):
            hinted.append(f"Jobs wait and no worker answers. Type: {command_to_type('worker')}")
    failed = next((run for run in runs if run.failed and run.is_done), None)
    if failed is not None:
        hinted.append(
            f"To try failed jobs again, type: {command_to_type('retry', '--run', str(failed.run_id))}"
        )
    return hinted


def as_object(run: RunProgress) -> dict[str, object]:
    """The counts and the speed as a JSON object."""
    return {**run.model_dump(mode="json"), "total": run.total, "is_done": run.is_done, "state": run.state}
