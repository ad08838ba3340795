"""`notemill run`: registers notes, answers them and prints a report, in one command."""

from __future__ import annotations

import time
from dataclasses import dataclass

from console.processes.embedded_redis import make_home_folder
from console.processes.local_services import LocalServices
from console.processes.weights_preparation import ensure_serving
from console.run.run_report import RunReport, print_report, report_json
from console.run.submission_request import SubmissionRequest
from console.terminal.exit_status import PROBLEM, Terminated
from console.terminal.opened_database import Database, database
from console.terminal.progress_bar import ProgressOutput, pace_words, progress_output
from console.terminal.progress_polling import POLL_SECONDS, poll_progress
from console.terminal.terminal import count_of, human_duration
from console.terminal.throughput import Throughput
from models.progress import RunProgress
from models.settings import Settings, load_settings
from models.usage import RunUsage
from producer import Progress, Submitted

_HEARTBEATS_PER_LEASE = 3
"""Heartbeats in a lease of a worker that is not ours; it stores its usage at each."""


def run(request: SubmissionRequest, *, is_explaining: bool, is_quiet: bool, as_json: bool) -> int:
    """Registers, answers and reports; the exit status is 1 where a job of the run has failed."""
    began, settings = time.monotonic(), load_settings()
    make_home_folder(settings)
    reporter = progress_output(is_quiet=is_quiet or as_json)
    with database(settings) as opened:
        serving = ensure_serving(settings, opened, reporter.say)
        in_progress = _RunInProgress(
            settings, opened, reporter, LocalServices(settings, serving.id, reporter), began
        )
        try:
            submitted = request.submit(settings, serving, in_progress.on_registered)
            progress = in_progress.wait_until_done(submitted)
            in_progress.services.stop()
        except (KeyboardInterrupt, Terminated):
            in_progress.stop_early()
            raise
        finally:
            reporter.close()
            in_progress.services.stop(is_hurried=True)
        seconds = in_progress.seconds, in_progress.seconds_working
        usage = in_progress.usage(progress) if is_explaining else None
        report = RunReport.of(opened, submitted, progress, *seconds, usage)
    report_json(report) if as_json else print_report(report)
    return PROBLEM if progress.failed else 0


@dataclass(slots=True)
class _RunInProgress:
    """One run in progress."""

    settings: Settings
    database: Database
    reporter: ProgressOutput
    services: LocalServices
    began: float
    work_began: float | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def seconds_working(self) -> float:
        """Seconds since the first job was owed, the start of the worker included."""
        return 0.0 if self.work_began is None else time.monotonic() - self.work_began

    def on_registered(self, progress: Progress) -> None:
        """Called after each batch of documents, so that the worker starts before the whole archive is
        registered."""
        refused = f", {progress.refused:,} refused" if progress.refused else ""
        self.reporter.show(0, 0, f"{count_of(progress.documents, 'note')} registered{refused}")
        if progress.owed_documents:
            self._ensure_running(progress.owed_documents)

    def wait_until_done(self, submitted: Submitted) -> RunProgress:
        """Follows the run until every job has ended."""
        self.reporter.close()
        self.reporter.say(_registration_words(submitted))
        progress = self.database.queries.run_progress(submitted.run_id)
        owed = progress.pending + progress.running
        pace = Throughput(jobs_a_note=owed / max(submitted.owed_documents, 1))
        while not progress.is_done:
            done = progress.total - progress.pending - progress.running
            self._ensure_running((done, progress.running))
            pace.count(time.monotonic(), done)
            is_waiting = not progress.running and pace.jobs_a_second is None
            words = pace_words(pace, progress.total - done, progress.failed)
            self.reporter.show(done, progress.total, "waiting for the worker" if is_waiting else words)
            progress = poll_progress(self.database.queries, submitted.run_id)
        if owed:
            words = f"{pace_words(pace, 0, progress.failed)} · stopping the worker"
            self.reporter.show(progress.total, progress.total, words)
        return progress

    def usage(self, progress: RunProgress) -> RunUsage:
        """Usage of the run, after the workers had the time to store it."""
        until = time.monotonic() + self.settings.lease_seconds / _HEARTBEATS_PER_LEASE + 1
        usage = self.database.queries.run_usage(progress.run_id)
        while (
            self.work_began is not None and time.monotonic() < until and not _is_usage_stored(usage, progress)
        ):
            time.sleep(POLL_SECONDS)
            usage = self.database.queries.run_usage(progress.run_id)
        return usage

    def stop_early(self) -> None:
        """Releases documents in progress and prints how to go on."""
        self.reporter.close()
        self.reporter.say("Stopping; the worker releases the notes in progress.")
        self.services.stop(is_hurried=True)
        after = human_duration(self.seconds)
        self.reporter.say(
            f"Stopped after {after}. Stored answers stay; the same command continues from there."
        )

    def _ensure_running(self, progress: object) -> None:
        if self.work_began is None:
            self.work_began = time.monotonic()
        self.services.ensure_running(progress)


def _is_usage_stored(usage: RunUsage, progress: RunProgress) -> bool:
    """True where some worker has stored usage since the last job ended; another may still be silent."""
    ended = progress.last_finished_at
    return ended is None or (usage.updated_at is not None and usage.updated_at >= ended)


def _registration_words(submitted: Submitted) -> str:
    new, existing = count_of(submitted.new_jobs, "new job"), f"{submitted.known_jobs:,} known"
    refused = f", {submitted.refused:,} refused" if submitted.refused else ""
    notes = count_of(submitted.documents, "note")
    return f"Run {submitted.run_id}: {notes}{refused}; {new}, {existing} from before."
