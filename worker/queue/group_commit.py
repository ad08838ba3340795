"""The one place of a worker process that claims and records: what many threads ask for goes in together.

A group commit as in a database: no waiting for company, but who comes while a transaction is under way goes
with the next one. A thread is let go when its own is committed. Knows no SQL and no Celery.
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

_What = TypeVar("_What")
_Result = TypeVar("_Result")


@dataclass(slots=True)
class _Gathered(Generic[_What, _Result]):
    """What waits for the next transaction of one kind."""

    commit: Callable[[Sequence[_What]], Sequence[_Result | Exception]]
    waiting: list[tuple[_What, Future[_Result]]] = field(default_factory=list)

    def take(self) -> list[tuple[_What, Future[_Result]]]:
        taken, self.waiting = self.waiting, []
        return taken

    def settle(self, taken: Sequence[tuple[_What, Future[_Result]]]) -> None:
        """Commits together; what the database refuses together is tried one by one, so that one that it
        refuses takes no other along. A database that does not answer is told to everyone."""
        try:
            results = self.commit([what for what, _ in taken])
        except Exception as error:  # noqa: BLE001  it is raised in the threads that wait
            if isinstance(error, DatabaseUnavailableError) or len(taken) == 1:
                results = [error] * len(taken)
            else:
                for one in taken:
                    self.settle([one])
                return
        for (_, future), result in zip(taken, results, strict=True):
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


class GroupCommit:
    """Claims and records for many threads, in one thread of its own: SQLite has one writer anyway."""

    def __init__(
        self,
        *,
        claim: Callable[[Sequence[int]], Sequence[Work | None]],
        record: Callable[[Sequence[EndedJob]], Sequence[bool | Exception]],
    ) -> None:
        """Each function is one transaction over many, and returns a result for each."""
        self._claims = _Gathered[int, Work | None](claim)
        self._records = _Gathered[EndedJob, bool](record)
        self._changed = threading.Condition()
        threading.Thread(target=self._serve, name="ledger", daemon=True).start()

    def claim(self, document_id: int) -> Work | None:
        """See Store.claim. Blocks until it is committed."""
        (claimed,) = self._together(self._claims, [document_id])
        return claimed.result()

    def record(self, ended: Sequence[EndedJob]) -> list[bool | Exception]:
        """See Store.record. Blocks until all are committed or refused; an exception stands for what the
        database or the store refuses. Raises DatabaseUnavailableError where the database does not answer."""
        results = [_result(future) for future in self._together(self._records, ended)]
        for result in results:
            if isinstance(result, DatabaseUnavailableError):
                raise result
        return results

    def _together(
        self, gathered: _Gathered[_What, _Result], wanted: Sequence[_What]
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
        """Every thread of the worker waits for this one: whatever happens here, out of memory say, is told to
        those that wait, and the thread goes on."""
        with self._changed:
            taken = gathered.take()
        try:
            if taken:
                gathered.settle(taken)
        except Exception as error:  # noqa: BLE001  it is raised in the threads that wait
            for _, future in taken:
                if not future.done():
                    future.set_exception(error)


def _result(future: Future[bool]) -> bool | Exception:
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001  it is the caller's to judge
        return error
