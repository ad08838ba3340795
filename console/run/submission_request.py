"""A submission as typed on the command line: sources, tasks, searches and options, as one value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from models.errors import UsageError
from models.jobs import Serving
from models.settings import Settings
from producer import Progress, Submitted
from producer import submit as submit_to
from producer.records.columns import ColumnChoice
from producer.records.table_presets import Preset, preset_named
from producer.sources.sources import NO_SOURCE, Source, open_sources
from producer.sources.sql_query import SqlQuery

_TASKS = ("entities", "summary")
"""Tasks where none is named: those that need no further words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionRequest:
    """Sources of notes, and the tasks and queries to answer on them."""

    sources: tuple[Source, ...]
    tasks: tuple[str, ...]
    searches: tuple[str, ...]
    labels: Path | None
    summary_words: int | None
    id_column: str | None
    text_column: str | None
    rejects: Path | None
    preset: Preset | None = None
    limit: int | None
    """Most records to take from the sources; None: all."""
    is_urgent: bool = False
    """True where a person waits for the answers."""

    @classmethod
    def of(
        cls,
        sources: Sequence[str] | None,
        tasks: Sequence[str] | None,
        searches: Sequence[str] | None,
        labels: Path | None,
        summary_words: int | None,
        sql: str | None,
        query: str | None,
        rejects: Path | None,
        limit: int | None,
        *,
        id_column: str | None,
        text_column: str | None,
        preset: str | None = None,
        is_urgent: bool = False,
    ) -> SubmissionRequest:
        """Makes the value from options as typed. Raises UsageError where they contradict each other."""
        table_preset = preset_named(preset)
        if (sql is None) != (query is None) and (sql is None or table_preset is None):
            raise UsageError("--sql URL and --query 'SELECT …' go together: the database, and what to read.")
        from_database = [SqlQuery(sql, query or "", table_preset)] if sql is not None else []
        if not sources and not from_database:
            raise UsageError(NO_SOURCE)
        return cls(
            sources=(*(sources or ()), *from_database),
            tasks=tuple(tasks or (() if searches else _TASKS)),
            searches=tuple(searches or ()),
            labels=labels,
            summary_words=summary_words,
            id_column=id_column,
            text_column=text_column,
            rejects=rejects,
            preset=table_preset,
            limit=limit,
            is_urgent=is_urgent,
        )

    def submit(
        self, settings: Settings, serving: Serving | None, on_progress: Callable[[Progress], None]
    ) -> Submitted:
        """Registers the notes, and enqueues them where the settings name a Redis server. Without a serving,
        uses the one that a worker announced last."""
        choice = ColumnChoice(self.id_column, self.text_column, self.preset)
        taken = (
            self.sources
            if self.limit is None
            else islice(open_sources(self.sources, choice).records, self.limit)
        )
        return submit_to(
            taken,
            tasks=self.tasks,
            searches=self.searches,
            labels=self.labels,
            summary_words=self.summary_words,
            settings=settings,
            serving=serving,
            id_column=self.id_column,
            text_column=self.text_column,
            preset=self.preset,
            rejects=self.rejects,
            on_progress=on_progress,
            is_urgent=self.is_urgent,
        )
