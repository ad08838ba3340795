"""Routes for runs and their progress; a page reloads its changing part while jobs are owed."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from models.outcomes import Reason
from models.progress import RunProgress
from web.app_state import AppState, app_state_of, html

REASON_MEANINGS = {
    Reason.UNPARSABLE: "The model’s reply did not have the required form.",
    Reason.TOO_LONG: "A prompt does not fit the model’s context or the memory, however the note is split.",
    Reason.NOT_ALL_READ: "Some characters of the note were never in a prompt; the answer was not kept.",
    Reason.OUT_OF_MEMORY: "The memory was full. A smaller NOTEMILL_MAX_BATCH_TOKENS needs less of it.",
    Reason.TIMED_OUT: "The note took longer than NOTEMILL_TIME_LIMIT_SECONDS allows.",
    Reason.CRASHED: "An unexpected error, NOTEMILL_MAX_ATTEMPTS times. The worker’s log shows where.",
    Reason.KILLED_WORKER: "Workers died while they processed this note, NOTEMILL_MAX_KILLS times.",
}
"""The meaning of each failure reason, in words for a person."""
_RUNS = 20


def runs(request: Request) -> Response:
    """The last runs; with `part`, only what changes."""
    app_state = app_state_of(request)
    progress: list[RunProgress] = app_state.progress_cache.get("runs", partial(app_state.queries.runs, _RUNS))
    template = "runs_part" if "part" in request.query_params else "runs"
    return html(template, runs=progress, is_over=all(run.is_done for run in progress))


def run(request: Request) -> Response:
    """One run in detail; with `part`, only what changes."""
    app_state = app_state_of(request)
    progress = _progress(app_state, request.path_params["run_id"])
    if "part" in request.query_params:
        return html("run_part", run=progress)
    count = partial(app_state.browser_queries.count_answers, progress.run_id)
    answer_counts = (
        app_state.progress_cache.get(("found", progress.run_id), count) if progress.is_done else None
    )
    return html("run", run=progress, answer_counts=answer_counts)


def failures(request: Request) -> Response:
    """Failed jobs by task and reason, over all runs."""
    app_state = app_state_of(request)
    groups = app_state.progress_cache.get("failures", app_state.browser_queries.failures)
    return html("failures", groups=groups, meanings=REASON_MEANINGS)


def _progress(app_state: AppState, run_id: int) -> RunProgress:
    progress: RunProgress = app_state.progress_cache.get(
        run_id, partial(app_state.queries.run_progress, run_id)
    )
    return progress
