"""Queue of comparisons: the engine's thread runs them between its batches.

Beside a batch both would wait for each other's cores (docs/results/performance.md). Does not import torch.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from worker.engine.api import CompareRequest, CompareResult, Reply, RequestError

log = logging.getLogger(__name__)


class TextComparer(Protocol):
    """An embedding model that compares texts by meaning."""

    def similarities(self, query: str, texts: Sequence[str]) -> tuple[float, ...]:
        """Cosine similarity of each text to the query, -1 to 1."""
        ...

    def forget(self) -> None:
        """Drops cached embeddings."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PendingComparison:
    """A comparison that waits for its reply."""

    request: CompareRequest
    reply: Future[Reply] = field(default_factory=Future)


class ComparisonQueue:
    """Comparisons that wait; any thread adds them, the engine's thread runs them."""

    def __init__(self, comparer: TextComparer | None) -> None:
        self._comparer = comparer
        self._waiting: deque[PendingComparison] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def prepare(self, request: CompareRequest) -> PendingComparison | RequestError:
        """The comparison to add; a RequestError if the engine has no embedding model."""
        if self._comparer is None:
            return RequestError("crashed", "this engine was loaded without an embedding model")
        return PendingComparison(request)

    def add(self, comparisons: Sequence[PendingComparison], *, is_urgent: bool) -> None:
        """Adds comparisons; urgent ones go before all others."""
        (self._waiting.extendleft if is_urgent else self._waiting.extend)(comparisons)

    def run(self) -> None:
        """Runs all comparisons that wait; one that fails does not affect the others."""
        while self._waiting and self._comparer is not None:
            comparison = self._waiting.popleft()
            try:
                similarities = self._comparer.similarities(comparison.request.query, comparison.request.texts)
                comparison.reply.set_result(CompareResult(similarities))
            except Exception as error:  # noqa: BLE001  only this comparison fails
                log.error("comparison failed: %s", type(error).__name__)
                comparison.reply.set_result(RequestError("crashed", type(error).__name__))

    def fail_all(self, error: RequestError) -> None:
        """Replies with the error to all comparisons that wait."""
        while self._waiting:
            self._waiting.popleft().reply.set_result(error)

    def forget(self) -> None:
        """Drops cached embeddings."""
        if self._comparer is not None:
            self._comparer.forget()
