"""Incremental source of a nightly run: rows beyond the last watermark, changed files, and notes left over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from console.nightly.plan_file import NightlyPlan
from console.terminal.opened_database import Database
from models.documents import Document, Refused
from models.errors import UsageError
from models.queries.nightly.nightly_runs import NightlyRun, files_read_before, unfinished_documents
from models.settings import Settings
from models.store.nightly_runs import FileState
from producer.records.columns import ColumnChoice
from producer.records.table_presets import preset_named
from producer.sources.changed_files import ChangedFiles
from producer.sources.sql_query import SqlQuery, newest, read_sql
from producer.sources.watermark import WatermarkWindow, mark_as_json, mark_of_json


@dataclass(slots=True)
class IncrementalSource:
    """The notes of one nightly run as a stream; counts them while it is read."""

    database: Database
    plan: NightlyPlan
    last: NightlyRun | None
    query: SqlQuery | None
    files: ChangedFiles | None
    watermark: dict[str, Any] | None
    """The watermark up to which this run reads."""
    new: int = 0
    carried_over: int = 0
    """Notes that earlier runs left over."""

    @classmethod
    def of(
        cls, database: Database, plan: NightlyPlan, settings: Settings, last: NightlyRun | None
    ) -> IncrementalSource:
        """Opens the sources of a plan. Raises UsageError where a source cannot be read."""
        choice = ColumnChoice(plan.id_column, plan.text_column, preset_named(plan.preset))
        query, watermark = _query(plan, settings, last)
        paths = [_absolute(source, plan) for source in plan.sources]
        known_states = partial(files_read_before, database.engine, plan.name)
        files = ChangedFiles(paths, known_states, choice) if paths else None
        return cls(database, plan, last, query, files, watermark)

    @property
    def file_states(self) -> dict[str, FileState]:
        return self.files.states if self.files else {}

    def records(self) -> Iterator[Document | Refused]:
        """New records, then those left over. If a note is both, its new text is used; a note that its
        source has withdrawn meanwhile is left out."""
        superseded: set[str] = set()
        for record in chain(self._of_database(), self._of_files()):
            if isinstance(record, Document):
                self.new += 1
                superseded.update(record.replaces)
            elif record.withdraws and record.external_id is not None:
                superseded.add(record.external_id)
            yield record
        for document in unfinished_documents(self.database.engine, self.last.run_id) if self.last else ():
            if document.external_id not in superseded:
                self.carried_over += 1
                yield document

    def _of_database(self) -> Iterator[Document | Refused]:
        choice = ColumnChoice(self.plan.id_column, self.plan.text_column, preset_named(self.plan.preset))
        return read_sql(self.query, choice) if self.query else iter(())

    def _of_files(self) -> Iterator[Document | Refused]:
        return self.files.records() if self.files else iter(())


def _query(
    plan: NightlyPlan, settings: Settings, last: NightlyRun | None
) -> tuple[SqlQuery | None, dict[str, Any] | None]:
    """The query for a database, and the watermark that holds after it."""
    if not plan.reads_sql:
        return None, None
    url = plan.sql or settings.archive_url.get_secret_value()
    if not url:
        raise UsageError(
            "the plan has a query and no database. Set NOTEMILL_ARCHIVE_URL=postgresql://…, or `sql` in it."
        )
    query = SqlQuery(url, plan.query, preset_named(plan.preset))
    if not plan.watermark:
        return query, None
    kept = last.watermark if last else None
    reached = mark_as_json(newest(query, plan.watermark)) or kept
    window = WatermarkWindow(plan.watermark, mark_of_json(kept), mark_of_json(reached))
    return SqlQuery(query.url, query.query, query.preset, window), reached


def _absolute(source: str, plan: NightlyPlan) -> str:
    """A path relative to the plan's file, wherever the scheduler starts the command."""
    return source if source.startswith(("/", "~")) else str(plan.folder / source)
