"""Comparisons in meaning: they wait for the engine's thread and are made between its steps.

Beside a step both would wait for each other's cores (docs/results/performance.md). Knows no torch.
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
    """A network beside the engine's that says how near texts are in meaning."""

    def similarities(self, query: str, texts: Sequence[str]) -> tuple[float, ...]:
        """For each text, -1 to 1."""
        ...

    def forget(self) -> None:
        """The texts that are kept for later queries."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PendingComparison:
    """A comparison on its way."""

    request: CompareRequest
    reply: Future[Reply] = field(default_factory=Future)


class ComparisonQueue:
    """Those that wait. Any thread adds, the engine's makes them."""

    def __init__(self, comparer: TextComparer | None) -> None:
        self._comparer = comparer
        self._waiting: deque[PendingComparison] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def prepare(self, request: CompareRequest) -> PendingComparison | RequestError:
        """Refused where there is no network for it."""
        if self._comparer is None:
            return RequestError("crashed", "this engine was loaded without a network that compares")
        return PendingComparison(request)

    def add(self, some: Sequence[PendingComparison], *, is_urgent: bool) -> None:
        """Urgent ones before all others."""
        (self._waiting.extendleft if is_urgent else self._waiting.extend)(some)

    def make(self) -> None:
        """All that wait; what fails is refused alone."""
        while self._waiting and self._comparer is not None:
            one = self._waiting.popleft()
            try:
                similarities = self._comparer.similarities(one.request.query, one.request.texts)
                one.reply.set_result(CompareResult(similarities))
            except Exception as error:  # noqa: BLE001  it refuses this comparison and nothing else
                log.error("comparing failed: %s", type(error).__name__)
                one.reply.set_result(RequestError("crashed", type(error).__name__))

    def refuse(self, refusal: RequestError) -> None:
        """All that wait."""
        while self._waiting:
            self._waiting.popleft().reply.set_result(refusal)

    def forget(self) -> None:
        """What is kept of texts for later queries."""
        if self._comparer is not None:
            self._comparer.forget()
