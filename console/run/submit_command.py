"""`notemill submit`: registers notes for workers that run elsewhere, or later."""

from __future__ import annotations

import json
from dataclasses import asdict

from console.processes import redis_client
from console.processes.embedded_redis import embedded_url, make_home_folder, with_redis
from console.processes.weights_preparation import ensure_serving
from console.run.submission_request import SubmissionRequest
from console.terminal.opened_database import database
from console.terminal.progress_bar import progress_output
from console.terminal.terminal import command_to_type, count_of
from models.settings import Settings, load_settings
from producer import Progress, Submitted
from worker.weights.model_files import is_prepared


def submit(request: SubmissionRequest, *, is_quiet: bool, as_json: bool) -> int:
    """Prints the run's id to standard output and words to standard error."""
    settings = load_settings()
    make_home_folder(settings)
    reporter = progress_output(is_quiet=is_quiet or as_json)

    def on_progress(progress: Progress) -> None:
        notes = count_of(progress.documents, "note")
        reporter.show(0, 0, f"{notes} registered, {progress.refused:,} refused")

    reachable = _reachable(settings)
    with database(settings) as opened:
        may_be_served_elsewhere = not (settings.is_redis_embedded or is_prepared(settings))
        serving = None if may_be_served_elsewhere else ensure_serving(settings, opened, reporter.say)
        try:
            submitted = request.submit(reachable, serving, on_progress)
        finally:
            reporter.close()
    for line in _result_lines(submitted, is_served=not reachable.is_redis_embedded):
        reporter.say(line)
    print(json.dumps(_json(submitted)) if as_json else submitted.run_id)
    return 0


def _reachable(settings: Settings) -> Settings:
    """The settings with the embedded Redis server, where it runs now, so that its worker begins at once."""
    url = embedded_url(settings)
    return with_redis(settings, url) if settings.is_redis_embedded and redis_client.ping(url) else settings


def _result_lines(submitted: Submitted, *, is_served: bool) -> list[str]:
    refused = f", {submitted.refused:,} refused (see {submitted.rejects_path})" if submitted.refused else ""
    lines = [
        f"{count_of(submitted.documents, 'note')} registered{refused};"
        f" {count_of(submitted.new_jobs, 'new job')}, {submitted.known_jobs:,} known from before."
    ]
    if not submitted.owed_documents:
        return [
            *lines,
            f"Nothing is left to do. Type: {command_to_type('results', '--run', str(submitted.run_id))}",
        ]
    if not is_served:
        lines.append(f"No Redis runs here now; the jobs wait for a worker. Type: {command_to_type('worker')}")
    return [*lines, f"To watch it, type: {command_to_type('status', str(submitted.run_id), '--watch')}"]


def _json(submitted: Submitted) -> dict[str, object]:
    path = submitted.rejects_path
    return {**asdict(submitted), "rejects_path": None if path is None else str(path)}
