"""Group commit: claims and recordings of many threads share transactions.

As in a database: nobody waits for others, but requests that arrive during a transaction share the next one. A
thread blocks until its own request is committed. Does not import SQLAlchemy or Celery.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from models.jobs import Job, Work
from models.outcomes import Outcome
from models.schema.database import DatabaseUnavailableError

EndedJob = tuple[Job, Outcome]

_Request = TypeVar("_Request")
_Result = TypeVar("_Result")


@dataclass(slots=True)
class _Gathered(Generic[_Request, _Result]):
    """Requests that wait for the next transaction of one kind."""

    commit: Callable[[Sequence[_Request]], Sequence[_Result | Exception]]
    waiting: list[tuple[_Request, Future[_Result]]] = field(default_factory=list)

    def take(self) -> list[tuple[_Request, Future[_Result]]]:
        taken, self.waiting = self.waiting, []
        return taken

    def settle(self, taken: Sequence[tuple[_Request, Future[_Result]]]) -> None:
        """Commits all together; where the database refuses that, one by one: a bad request fails alone.
        An unavailable database is reported to every waiting thread."""
        try:
            results = self.commit([request for request, _ in taken])
        except Exception as error:  # noqa: BLE001  raised in the waiting threads
            if isinstance(error, DatabaseUnavailableError) or len(taken) == 1:
                results = [error] * len(taken)
            else:
                for request in taken:
                    self.settle([request])
                return
        for (_, future), result in zip(taken, results, strict=True):
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


class GroupCommit:
    """Claims and records for many threads, in one thread of its own; SQLite has a single writer anyway."""

    def __init__(
        self,
        *,
        claim: Callable[[Sequence[int]], Sequence[Work | None]],
        record: Callable[[Sequence[EndedJob]], Sequence[bool | Exception]],
    ) -> None:
        """`claim` and `record` handle many requests in one transaction and return a result for each."""
        self._claims = _Gathered[int, Work | None](claim)
        self._records = _Gathered[EndedJob, bool](record)
        self._changed = threading.Condition()
        threading.Thread(target=self._serve, name="group_commit", daemon=True).start()

    def claim(self, document_id: int) -> Work | None:
        """Claims one document, see Store.claim; blocks until the claim is committed."""
        (claimed,) = self._together(self._claims, [document_id])
        return claimed.result()

    def record(self, ended: Sequence[EndedJob]) -> list[bool | Exception]:
        """Records outcomes, see Store.record; blocks until all are committed or refused.

        An exception stands for an outcome that the database or the store refuses. Raises
        DatabaseUnavailableError where the database does not answer."""
        results = [_result(future) for future in self._together(self._records, ended)]
        for result in results:
            if isinstance(result, DatabaseUnavailableError):
                raise result
        return results

    def _together(
        self, gathered: _Gathered[_Request, _Result], wanted: Sequence[_Request]
    ) -> list[Future[_Result]]:
        futures: list[Future[_Result]] = [Future() for _ in wanted]
        with self._changed:
            gathered.waiting.extend(zip(wanted, futures, strict=True))
            self._changed.notify()
        return futures

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._claims.waiting or self._records.waiting)
            for gathered in (self._records, self._claims):
                self._settle(gathered)

    def _settle(self, gathered: _Gathered[Any, Any]) -> None:
        """Commits the waiting requests of one kind. All threads wait for this one, so any error, such as a
        MemoryError, is passed to them and this thread goes on."""
        with self._changed:
            taken = gathered.take()
        try:
            if taken:
                gathered.settle(taken)
        except Exception as error:  # noqa: BLE001  raised in the waiting threads
            for _, future in taken:
                if not future.done():
                    future.set_exception(error)


def _result(future: Future[bool]) -> bool | Exception:
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001  the caller judges it
        return error
