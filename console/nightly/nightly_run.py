"""`notemill nightly`: reads new notes, answers them within a time window, and writes a report.

The exit status UNFINISHED says that notes are left; see console.terminal.exit_status.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from console.nightly.batch_window import BatchWindow
from console.nightly.forecast import Forecast
from console.nightly.incremental_source import IncrementalSource
from console.nightly.nightly_report import NightlyReport, counts, write_report
from console.nightly.plan_file import NightlyPlan, read_plan
from console.processes import file_locks
from console.processes.embedded_redis import make_home_folder
from console.processes.weights_preparation import ensure_serving
from console.terminal.exit_status import PROBLEM, UNFINISHED, Terminated
from console.terminal.opened_database import Database, database
from console.terminal.progress_bar import ProgressOutput, progress_output
from console.terminal.terminal import count_of, stdout
from models.documents import Document
from models.errors import NotemillError
from models.jobs import Question, Serving
from models.labels import load_labels
from models.queries.answer_counts import count_answers
from models.queries.nightly.nightly_runs import NightlyRun, last_nightly_run, owed_documents_of_run
from models.queries.nightly.throughput_rates import measured_rates
from models.queries.owed_jobs import unanswered
from models.settings import Settings, load_settings
from producer import Submitted, submit
from producer.submission.questions import questions_for, recipes_for

_DOCUMENTS_PER_BATCH = 500


def nightly(path: Path | None, *, until: str | None, is_dry_run: bool, is_quiet: bool, as_json: bool) -> int:
    """Runs one nightly run. Prints the names of the report's files, or with `as_json` the report."""
    settings = load_settings()
    home = make_home_folder(settings)
    plan = read_plan(path or home / "nightly.toml")
    began = datetime.now().astimezone()
    deadline = plan.deadline(began, until)
    reporter = progress_output(is_quiet=is_quiet or as_json)
    with _plan_lock(home, plan), database(settings) as opened:
        serving = ensure_serving(settings, opened, reporter.say)
        last = last_nightly_run(opened.engine, plan.name)
        source = IncrementalSource.of(opened, plan, settings, last)
        in_progress = _NightlyRunInProgress(
            settings, opened, plan, serving, source, last, began, deadline, reporter
        )
        if is_dry_run:
            return in_progress.print_forecast(in_progress.forecast(), as_json=as_json)
        try:
            return in_progress.run(as_json=as_json)
        finally:
            reporter.close()


@contextmanager
def _plan_lock(home: Path, plan: NightlyPlan) -> Iterator[None]:
    lock = file_locks.try_lock(home / "locks" / f"nightly-{plan.name}")
    if lock is None:
        raise NotemillError(f"another nightly run of the plan {plan.name} is in progress.")
    try:
        yield
    finally:
        os.close(lock)


@dataclass(slots=True)
class _NightlyRunInProgress:
    settings: Settings
    database: Database
    plan: NightlyPlan
    serving: Serving
    source: IncrementalSource
    last: NightlyRun | None
    began: datetime
    deadline: datetime | None
    reporter: ProgressOutput

    def forecast(self) -> Forecast:
        """Reads the notes that the nightly run would read, and writes nothing."""
        questions = self._questions()
        recipes = recipes_for(questions, self.serving, load_labels(self._labels or self.settings.labels_file))
        documents = characters = 0
        new = (record for record in self.source.records() if isinstance(record, Document))
        while batch := list(islice(new, _DOCUMENTS_PER_BATCH)):
            for document in unanswered(self.database.engine, batch, questions, recipes):
                documents, characters = documents + 1, characters + len(document.text)
        return Forecast(documents, characters, measured_rates(self.database.engine, questions))

    def run(self, *, as_json: bool) -> int:
        """Registers, prints the forecast, works, reports."""
        submitted = self._register()
        owed = owed_documents_of_run(self.database.engine, submitted.run_id)
        rates = measured_rates(self.database.engine, self._questions(), before=submitted.run_id)
        forecast = Forecast(len(owed), sum(document.characters for document in owed), rates)
        for line in forecast.words(datetime.now().astimezone(), self.deadline):
            self.reporter.say(line)
        window = BatchWindow(
            self.settings, self.database, self.serving, self.reporter, submitted.run_id, self.deadline
        )
        interrupted: BaseException | None = None
        try:
            window.run(owed, self.plan)
        except (KeyboardInterrupt, Terminated) as stop:
            interrupted = stop
        # Workers that run all day may have begun while notes were still coming in.
        num_owed = max(len(owed), submitted.owed_documents)
        report = self._report(submitted, num_owed, forecast, window, is_interrupted=interrupted is not None)
        status = self._conclude(report, as_json=as_json)
        if interrupted is not None:
            raise interrupted
        return status

    def print_forecast(self, forecast: Forecast, *, as_json: bool) -> int:
        now = datetime.now().astimezone()
        if as_json:
            print(json.dumps(forecast.as_object(now, self.deadline)))
        else:
            for line in forecast.words(now, self.deadline):
                stdout().print(line, soft_wrap=True)
        return 0

    def _questions(self) -> tuple[Question, ...]:
        words = self.plan.summary_words or self.settings.summary_words
        return questions_for(self.plan.tasks, self.plan.searches, summary_words=words)

    @property
    def _labels(self) -> Path | None:
        return None if self.plan.labels is None else self.plan.folder / self.plan.labels

    def _register(self) -> Submitted:
        submitted = submit(
            self.source.records(),
            tasks=self.plan.tasks,
            searches=self.plan.searches,
            labels=self._labels,
            summary_words=self.plan.summary_words,
            settings=self.settings,
            serving=self.serving,
            enqueue=False,
            on_progress=lambda progress: self.reporter.show(
                0, 0, f"{count_of(progress.documents, 'note')} registered"
            ),
        )
        self.database.store.begin_nightly_run(
            self.plan.name,
            submitted.run_id,
            watermark=self.source.watermark,
            files=self.source.file_states,
        )
        self.reporter.close()
        self.reporter.say(
            f"Run {submitted.run_id}: {count_of(self.source.new, 'note')} read,"
            f" {self.source.carried_over:,} carried over, {submitted.refused:,} refused."
        )
        return submitted

    def _report(
        self,
        submitted: Submitted,
        owed: int,
        forecast: Forecast,
        window: BatchWindow,
        *,
        is_interrupted: bool,
    ) -> NightlyReport:
        run_id = submitted.run_id
        progress = self.database.queries.run_progress(run_id)
        num_owed_documents = len(owed_documents_of_run(self.database.engine, run_id, with_held=True))
        seconds = window.seconds
        return NightlyReport(
            plan=self.plan.name,
            run=run_id,
            began=self.began,
            ended=datetime.now().astimezone(),
            until=self.deadline,
            is_stopped_at_deadline=window.is_stopped_at_deadline and num_owed_documents > 0,
            is_interrupted=is_interrupted,
            notes_new=self.source.new,
            notes_carried_over=self.source.carried_over,
            notes_refused=submitted.refused,
            refused_by_reason=submitted.refused_by_reason,
            notes_owed=owed,
            notes_left=num_owed_documents,
            seconds_working=seconds,
            notes_an_hour=(owed - num_owed_documents) * 3600 / seconds
            if seconds and owed > num_owed_documents
            else None,
            forecast_seconds=forecast.seconds,
            **counts(progress, count_answers(self.database.engine, run_id)),
        )

    def _conclude(self, report: NightlyReport, *, as_json: bool) -> int:
        self.database.store.end_nightly_run(report.run, report.model_dump(mode="json"))
        before = self.last.report if self.last else None
        reports = self.plan.reports
        folder = self.settings.home_folder / "nights" if reports is None else self.plan.folder / reports
        files = write_report(report, NightlyReport(**before) if before else None, folder.expanduser())
        self.reporter.close()
        self.reporter.say(report.outcome)
        if as_json:
            print(json.dumps({**report.model_dump(mode="json"), "reports": [str(file) for file in files]}))
        else:
            for file in files:
                print(file)
        if report.jobs_failed:
            return PROBLEM
        return UNFINISHED if report.notes_left else 0
