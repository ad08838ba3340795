"""`producer.submit`: one submission, from sources to a registered run with its messages published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import cast

from models.answers import Task
from models.documents import Document, Refused
from models.errors import NotemillError, UsageError
from models.jobs import Serving
from models.labels import Label, load_labels
from models.migrations import schema_version
from models.queries.queries import Queries
from models.security.open_database import open_database
from models.settings import Settings, load_settings
from models.store.store import Store
from models.tracing import SpanRecorder, Traces
from producer.records.columns import ColumnChoice
from producer.records.records import storable
from producer.records.table_presets import Preset, preset_named
from producer.sources.files import REJECTS_ENDING
from producer.sources.sources import OpenedSources, Records, Source, open_sources
from producer.sources.sql_query import SqlQuery
from producer.sources.standard_input import StandardInput
from producer.submission.background_publisher import BackgroundPublisher
from producer.submission.questions import questions_for, recipes_for
from producer.submission.record_registration import Progress, register
from producer.submission.rejects_file import RejectsFile

Submittable = Source | Iterable[Source] | Iterable[Document | Refused]


@dataclass(frozen=True, slots=True)
class Submitted:
    """A registered run and its counts."""

    run_id: int
    documents: int
    """Distinct documents accepted."""
    refused: int
    refused_by_reason: dict[str, int]
    """Refused records by reason, the most frequent first."""
    new_jobs: int
    known_jobs: int
    """Jobs that existed already, most often finished; they cost nothing."""
    owed_documents: int
    """Documents with at least one owed job."""
    rejects_path: Path | None
    """A file with a JSON object for each refused record; None without any."""


class NotEnqueuedError(NotemillError):
    """Everything is registered, but Redis did not take all messages. No work is lost."""

    def __init__(self, submitted: Submitted, cause: NotemillError) -> None:
        super().__init__(
            f"run {submitted.run_id} is registered, but not all of its {submitted.owed_documents} documents"
            f" could be enqueued: {cause} Nothing is lost: a worker that reaches Redis finds in the database"
            f" what is owed. To watch it type: notemill status {submitted.run_id}"
        )
        self.submitted = submitted


def submit(
    sources_or_documents: Submittable,
    *,
    tasks: str | Sequence[str | Task] = (Task.ENTITIES, Task.SUMMARY),
    searches: str | Sequence[str] = (),
    labels: Path | str | Sequence[Label] | None = None,
    summary_words: int | None = None,
    settings: Settings | None = None,
    serving: Serving | None = None,
    id_column: str | None = None,
    text_column: str | None = None,
    preset: Preset | str | None = None,
    rejects: Path | str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    enqueue: bool = True,
    is_urgent: bool = False,
) -> Submitted:
    """Registers documents with their questions, and enqueues those that are not yet answered.

    Takes a source (a path, a glob, '-', SqlQuery, StandardInput), several, or any iterable of
    Documents, which is read as a stream and may be empty. Submitting the same again costs no model work.

    `labels` is a labels file or the labels themselves; none: the settings' file, else the built-in
    ones. `serving` is what the answers shall be made by; none: the newest that a worker announced.
    `preset` names a layout of tables, in a database or in files: `omop` or `mimic`. `rejects` is where
    refused records are listed; none: in the home folder. `on_progress` is called
    after each batch. Without a Redis URL in the settings, or with enqueue=False, no message is sent,
    and the worker's sweep of the database finds the documents. `is_urgent`: a person waits, so these
    documents go before those of nightly runs, also where they wait already.

    Raises UsageError where the call is wrong, before anything is registered; QueueError where Redis
    does not answer at the start, and NotEnqueuedError where it fails later; DatabaseError.
    """
    settings = settings or load_settings()
    questions = questions_for(tasks, searches, summary_words=summary_words or settings.summary_words)
    requested_labels = _labels(labels, settings)
    table_preset = preset_named(preset) if preset is None or isinstance(preset, str) else preset
    opened = _open_sources(sources_or_documents, ColumnChoice(id_column, text_column, table_preset))
    redis_url = settings.redis_url.get_secret_value() if enqueue else ""
    key, max_messages = settings.message_key.get_secret_value(), settings.max_queue_messages
    with (
        _traced(settings) as (traces, tell),
        _database(settings) as (store, queries),
        BackgroundPublisher(
            redis_url, store, message_key=key, is_urgent=is_urgent, max_waiting=max_messages
        ) as publisher,
    ):
        recipes = recipes_for(questions, serving or _newest_serving(queries), requested_labels)
        run_id = store.open_run(
            questions=questions,
            recipes=tuple(recipes.values()),
            sources=opened.names,
            traceparent=traces.traceparent,
        )
        progress = Progress(run_id)
        with RejectsFile(Path(rejects) if rejects else _rejects_path(settings, run_id)) as file:
            for batch in register(
                opened.records,
                store=store,
                run_id=run_id,
                questions=questions,
                recipes=recipes,
                rejects=file,
                is_urgent=is_urgent,
            ):
                progress = batch.progress
                publisher.publish(batch.owed_document_ids)
                if on_progress is not None:
                    on_progress(progress)
        store.close_run(run_id, documents=progress.documents, refused=progress.refused)
        tell(run=run_id, documents=progress.documents, refused=progress.refused, jobs=progress.new_jobs)
        publisher.wait()
    submitted = Submitted(**asdict(progress), rejects_path=file.path)
    if publisher.error is not None:
        raise NotEnqueuedError(submitted, publisher.error)
    return submitted


def _rejects_path(settings: Settings, run_id: int) -> Path:
    return settings.home_folder / "rejects" / f"run-{run_id}{REJECTS_ENDING}"


def _open_sources(given: Submittable, choice: ColumnChoice) -> OpenedSources:
    if isinstance(given, str | Path | SqlQuery | StandardInput):
        return open_sources([given], choice)
    stream = iter(given)
    first = next(stream, None)
    if first is None:  # no new notes tonight is no mistake
        return OpenedSources(names=(), records=iter(()))
    if isinstance(first, Document | Refused):
        return OpenedSources(names=(), records=map(storable, chain([first], cast("Records", stream))))
    return open_sources(cast("list[Source]", [first, *stream]), choice)


def _labels(given: Path | str | Sequence[Label] | None, settings: Settings) -> tuple[Label, ...]:
    if given is None:
        return load_labels(settings.labels_file)
    return load_labels(Path(given)) if isinstance(given, str | Path) else tuple(given)


@contextmanager
def _traced(settings: Settings) -> Iterator[tuple[Traces, SpanRecorder]]:
    traces = Traces(settings.traces_url, service="notemill-producer")
    try:
        with traces.span("submit") as tell:
            yield traces, tell
    finally:
        traces.close()


@contextmanager
def _database(settings: Settings) -> Iterator[tuple[Store, Queries]]:
    engine = open_database(settings)
    try:
        schema_version.check(engine)
        yield Store(engine, actor=settings.actor), Queries(engine)
    finally:
        engine.dispose()


def _newest_serving(queries: Queries) -> Serving:
    serving = queries.current_serving()
    if serving is None:
        raise UsageError("no worker has announced what it serves: start one with `notemill worker`")
    return serving
