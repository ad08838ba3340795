"""The task of one message: claims the jobs owed on a document, runs the pipeline, records each outcome.

Expected failures are values. An unexpected exception ends the attempt; only its type and place are logged,
because its text may quote the note. Does not import Celery: `worker.app` calls it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from itertools import chain, repeat
from typing import TypeGuard, TypeVar

from models.errors import NotemillError
from models.jobs import Job, Work
from models.outcomes import Failed, Outcome, Reason
from models.schema.database import DatabaseUnavailableError
from worker.pipeline import process
from worker.queue.engine_deadline import DeadlineEngine, StoppedError, TimedOutError
from worker.queue.group_commit import EndedJob
from worker.queue.worker_context import WorkerContext
from worker.telemetry.safe_logging import about, where

log = logging.getLogger(__name__)

_BACKOFF_SECONDS = 5.0
"""Wait before the second attempt after an unexpected error; four times as long before each further one."""
_LONGEST_BACKOFF_SECONDS = 600.0
_UNEXPECTED_ERRORS_TO_EXIT = 20
"""Unexpected errors in a row, with no finished job between. A CUDA error stays until the process ends: a
worker that goes on fails the whole archive; one that ends is started again."""

_T = TypeVar("_T")


class EngineCrashedError(NotemillError):
    """The engine failed for a transient reason: an unexpected error, or memory that other processes hold.
    The message is the type of the error."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.detail)
        self.reason = failed.reason


def process_document(document_id: int, context: WorkerContext, *, is_isolated: bool = False) -> None:
    """Processes the jobs owed on one document that this worker can answer; does nothing where none is owed.

    `is_alone`: quarantined jobs, with no other document in progress; otherwise all the others."""
    claim = context.claim_quarantined if is_isolated else context.group_commit.claim
    with context.in_flight.hold(context.shutdown, is_isolated=is_isolated) as is_held:
        if not is_held or context.shutdown.is_requested:
            return  # the document stays owed; the sweep of the next worker finds it
        with context.meter.note_in_progress(), about(document=document_id):
            _claim_and_process(document_id, claim, context)


def _claim_and_process(document_id: int, claim: Callable[[int], Work | None], context: WorkerContext) -> None:
    began_ns = time.time_ns()
    try:
        with context.meter.timing("store"):
            work = _with_database_retries(lambda: claim(document_id), context)
        if work is None:
            log.info("document %d: nothing owed", document_id)
        else:
            with context.usage_accounting.attribute_to(work.jobs), context.tracing.document(work, began_ns):
                _process_work(work, context)
    except StoppedError:
        log.info("document %d: abandoned, the worker stops", document_id)


def _process_work(work: Work, context: WorkerContext) -> None:
    started, limit = time.monotonic(), context.settings.time_limit_seconds
    open_jobs = {job.id: job for job in work.jobs}
    try:
        for ended in _outcomes(work, context):
            transient = [outcome for _, outcome in ended if _is_transient(outcome)]
            _record([job for job in ended if not _is_transient(job[1])], open_jobs, context)
            if transient:
                raise EngineCrashedError(transient[0])
    except StoppedError:
        raise
    except TimedOutError:
        seconds = time.monotonic() - started
        timed_out = Failed(reason=Reason.TIMED_OUT, detail=f"limit {limit:g} s", duration_seconds=seconds)
        _record([(job, timed_out) for job in open_jobs.values()], open_jobs, context)
    except Exception as error:  # noqa: BLE001  unexpected: the attempt ends, the worker goes on
        _end_attempt(work.document_id, tuple(open_jobs.values()), error, context)
    seconds = time.monotonic() - started
    log.info("document %d: %d jobs claimed, done after %.1f s", work.document_id, len(work.jobs), seconds)


def _outcomes(work: Work, context: WorkerContext) -> Iterator[list[EndedJob]]:
    """Outcomes of the pipeline. From the second attempt on, jobs run one by one: a crash ends only one."""
    seconds = context.settings.time_limit_seconds
    limited = DeadlineEngine(context.engine, seconds=seconds, shutdown=context.shutdown)
    engine = context.tracing.engine(limited)
    is_first = all(job.attempt == 1 for job in work.jobs)
    config, meter = context.config, context.meter
    patient_names: Sequence[str] = ()
    if config.is_deidentified:
        patient_names = _with_database_retries(lambda: context.patient_names_of(work.document_id), context)
    for jobs in [work.jobs] if is_first else [(job,) for job in work.jobs]:
        part = work.model_copy(update={"jobs": jobs})
        yield from process(part, engine=engine, config=config, meter=meter, patient_names=patient_names)


def _is_transient(outcome: Outcome) -> TypeGuard[Failed]:
    """True where another attempt at the same note may succeed."""
    return isinstance(outcome, Failed) and outcome.reason in (Reason.CRASHED, Reason.OUT_OF_MEMORY)


def _record(ended: Sequence[EndedJob], open_jobs: dict[int, Job], context: WorkerContext) -> None:
    """Stores outcomes and removes their jobs from `open_jobs`. Where the store refuses an answer, raises its
    error after recording the others."""
    if not ended:
        return
    with context.meter.timing("store"), context.tracing.record(ended):
        results = _with_database_retries(lambda: context.group_commit.record(ended), context)
    for (job, outcome), result in zip(ended, results, strict=True):
        if isinstance(result, Exception):
            continue
        del open_jobs[job.id]
        if not result:
            log.warning("job %d: the answer of attempt %d is too late", job.id, job.attempt)
        else:
            context.outcome_counters.end(job.question.task, outcome)
            if isinstance(outcome, Failed):
                log.warning("job %d: failed, %s", job.id, outcome.reason)
        context.unexpected_errors.forget()
    for result in results:
        if isinstance(result, Exception):
            raise result


def _end_attempt(document_id: int, jobs: tuple[Job, ...], error: Exception, context: WorkerContext) -> None:
    """Releases each job without an outcome for its next attempt; after the last attempt the job fails."""
    name = f"engine: {error}" if isinstance(error, EngineCrashedError) else type(error).__name__
    log.error("document %d: %s at %s; %d jobs open", document_id, name, where(error), len(jobs))
    context.outcome_counters.count_unexpected_error()
    unexpected_errors = min(job.unexpected_errors for job in jobs)
    reason = error.reason if isinstance(error, EngineCrashedError) else Reason.CRASHED
    pending = _with_database_retries(
        lambda: context.store.requeue(
            jobs,
            reason=reason,
            detail=name,
            wait_seconds=min(_BACKOFF_SECONDS * 4**unexpected_errors, _LONGEST_BACKOFF_SECONDS),
            max_attempts=context.settings.max_attempts,
        ),
        context,
    )
    if pending < len(jobs):
        log.warning("document %d: %d jobs failed, %s", document_id, len(jobs) - pending, reason)
    if context.unexpected_errors.count() >= _UNEXPECTED_ERRORS_TO_EXIT:
        log.critical("%d unexpected errors in a row: the worker ends", _UNEXPECTED_ERRORS_TO_EXIT)
        context.exit_as_broken()


def _with_database_retries(call: Callable[[], _T], context: WorkerContext) -> _T:
    """Repeats a call until the database answers, since minutes of work may depend on it; returns its value.

    Raises StoppedError where the worker has to stop before.
    """
    for wait_seconds in chain((1, 2, 4), repeat(8)):
        try:
            return call()
        except DatabaseUnavailableError:
            log.warning("the database does not answer; next try in %d s", wait_seconds)
        wait([context.shutdown.now], wait_seconds)
        if context.shutdown.is_immediate:
            break
    raise StoppedError("the worker stops")
