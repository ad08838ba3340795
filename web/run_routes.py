"""Routes for runs and their progress; a page reloads its changing part while jobs are owed."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from models.outcomes import Reason
from models.progress import RunProgress
from web.app_state import AppState, app_state_of, html

MEANINGS = {
    Reason.UNPARSABLE: "The network’s answer was not in the form that was asked for.",
    Reason.TOO_LONG: "A prompt does not fit the network’s context or the memory, however the note is cut.",
    Reason.NOT_ALL_READ: "Some characters of the note were never in a prompt; the answer was not kept.",
    Reason.OUT_OF_MEMORY: "The memory was full. A smaller NOTEMILL_MAX_BATCH_TOKENS leaves more of it.",
    Reason.TIMED_OUT: "The note took longer than NOTEMILL_TIME_LIMIT_SECONDS allows.",
    Reason.CRASHED: "A surprise, as often as NOTEMILL_MAX_ATTEMPTS allows. The worker’s log has its place.",
    Reason.KILLED_WORKER: "Workers died with this note in hand, as often as NOTEMILL_MAX_KILLS allows.",
}
"""The meaning of each failure reason, in words for a person."""
_RUNS = 20


def runs(request: Request) -> Response:
    """The last runs; with `part`, only what changes."""
    shelf = app_state_of(request)
    progress: list[RunProgress] = shelf.following.get("runs", partial(shelf.queries.runs, _RUNS))
    template = "runs_part" if "part" in request.query_params else "runs"
    return html(template, runs=progress, is_over=all(run.is_done for run in progress))


def run(request: Request) -> Response:
    """One run in detail; with `part`, only what changes."""
    shelf = app_state_of(request)
    progress = _progress(shelf, request.path_params["run_id"])
    if "part" in request.query_params:
        return html("run_part", run=progress)
    count = partial(shelf.browsing.count_answers, progress.run_id)
    found = shelf.following.get(("found", progress.run_id), count) if progress.is_done else None
    return html("run", run=progress, found=found)


def failures(request: Request) -> Response:
    """Failed jobs by task and reason, over all runs."""
    shelf = app_state_of(request)
    groups = shelf.following.get("failures", shelf.browsing.failures)
    return html("failures", groups=groups, meanings=MEANINGS)


def _progress(shelf: AppState, run_id: int) -> RunProgress:
    progress: RunProgress = shelf.following.get(run_id, partial(shelf.queries.run_progress, run_id))
    return progress
