"""Routes for runs and their progress; a page reloads its changing part while jobs are owed."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from models.progress import RunProgress
from web.app_state import AppState, app_state_of, html
from web.failure_reasons import MEANINGS

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
