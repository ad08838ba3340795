"""One message, one document: claim what is owed on it, work, record each outcome as it comes.

Expected failures come as values. A surprise ends the attempt and is told by its type and place
alone: the text of an exception may quote the note. Knows no Celery: it is called by `worker.app`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

from models.database import DatabaseUnavailableError
from models.jobs import Job, Work
from models.outcomes import Failed, Finished, Outcome, Reason
from models.store import Store
from worker.limits import LimitedEngine, StoppedError, TimedOutError
from worker.logs import where
from worker.pipeline import process
from worker.workplace import Workplace

log = logging.getLogger(__name__)

_RECORD_WAITS_SECONDS = (1.0, 2.0, 4.0, 8.0)
"""Before the database is asked again to take an answer: minutes of computing may be in it."""
_BACKOFF_SECONDS = 5.0
"""Before the second attempt after a surprise; four times as long before each further one."""
_LONGEST_BACKOFF_SECONDS = 600.0


def process_document(document_id: int, workplace: Workplace) -> None:
    """Works off what is owed on one document under this worker's serving; nothing owed, nothing done."""
    if workplace.stopping.is_asked:
        return  # the document stays owed; the next worker's sweep finds it
    with workplace.hands.holding():
        work = _claim(document_id, workplace)
        if work is None:
            log.info("document %d: nothing owed", document_id)
        else:
            _work_off(work, workplace)


def _claim(document_id: int, workplace: Workplace) -> Work | None:
    return workplace.store.claim(
        document_id,
        worker=workplace.name,
        serving_id=workplace.serving.id,
        lease_seconds=workplace.settings.lease_seconds,
        max_attempts=workplace.settings.max_kills,
    )


def _work_off(work: Work, workplace: Workplace) -> None:
    started, limit = time.monotonic(), workplace.settings.time_limit_seconds
    open_jobs = {job.id: job for job in work.jobs}
    try:
        for job, outcome in _outcomes(work, workplace):
            _record(workplace.store, job, outcome)
            del open_jobs[job.id]
    except StoppedError:
        log.info("document %d: let go with %d jobs open", work.document_id, len(open_jobs))
    except TimedOutError:
        for job in open_jobs.values():
            seconds = time.monotonic() - started
            timed_out = Failed(reason=Reason.TIMED_OUT, detail=f"limit {limit:g} s", duration_seconds=seconds)
            _record(workplace.store, job, timed_out)
    except Exception as error:  # noqa: BLE001  a surprise: the attempt ends, the worker goes on
        _end_attempt(work.document_id, tuple(open_jobs.values()), error, workplace)
    log.info(
        "document %d: %d of %d jobs ended in %.1f s",
        *(work.document_id, len(work.jobs) - len(open_jobs), len(work.jobs), time.monotonic() - started),
    )


def _outcomes(work: Work, workplace: Workplace) -> Iterator[tuple[Job, Finished | Failed]]:
    """The pipeline's; after a first attempt job by job, so that one that crashes takes no other along."""
    seconds = workplace.settings.time_limit_seconds
    engine = LimitedEngine(workplace.engine, seconds=seconds, stopping=workplace.stopping)
    is_first = all(job.attempt == 1 for job in work.jobs)
    for jobs in [work.jobs] if is_first else [(job,) for job in work.jobs]:
        yield from process(work.model_copy(update={"jobs": jobs}), engine=engine, settings=workplace.settings)


def _record(store: Store, job: Job, outcome: Outcome) -> None:
    for wait_seconds in (*_RECORD_WAITS_SECONDS, None):
        try:
            is_ours = store.record(job, outcome)
            break
        except DatabaseUnavailableError:
            if wait_seconds is None:
                raise
            time.sleep(wait_seconds)
    if isinstance(outcome, Failed):
        log.warning("job %d: failed, %s", job.id, outcome.reason)
    if not is_ours:
        log.warning("job %d: the answer of attempt %d came too late", job.id, job.attempt)


def _end_attempt(document_id: int, jobs: tuple[Job, ...], error: Exception, workplace: Workplace) -> None:
    """Each job that has no outcome waits for its next attempt, or fails after its last."""
    name = type(error).__name__
    log.error("document %d: %s at %s; %d jobs open", document_id, name, where(error), len(jobs))
    attempt = min(job.attempt for job in jobs)
    wait_seconds = min(_BACKOFF_SECONDS * 4 ** (attempt - 1), _LONGEST_BACKOFF_SECONDS)
    max_attempts = workplace.settings.max_attempts
    workplace.store.release(jobs, detail=name, wait_seconds=wait_seconds, max_attempts=max_attempts)
