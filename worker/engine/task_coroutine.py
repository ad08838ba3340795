"""The coroutine protocol of tasks: a task yields requests, receives their replies, and returns its answer."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from models.answers import Answer, Span
from models.errors import NotemillError
from models.outcomes import Reason
from worker.engine.api import Reply, Request


class UnusableReplyError(NotemillError):
    """A reply cannot be used; the job fails with this reason. The detail holds no text of the note."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class TaskAnswer:
    """The result of a task."""

    answer: Answer
    ranges_read: tuple[Span, ...]
    """Character ranges of the note that its prompts contained."""


TaskCoroutine = Generator[Sequence[Request], list[Reply], TaskAnswer]
"""Yields requests and receives their replies in the same order; a RequestError ends the coroutine."""
