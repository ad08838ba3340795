"""How a task talks: it yields requests, is sent their replies, and returns what it answered."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from models.answers import Answer, Span
from models.errors import NotemillError
from models.outcomes import Reason
from worker.engine.api import Reply, Request


class UnusableReplyError(NotemillError):
    """A reply cannot be used; the job fails with this reason. Its detail holds no text of the note."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class TaskAnswer:
    """An answer, and the characters of the note that were in a prompt for it."""

    answer: Answer
    ranges_read: tuple[Span, ...]


TaskCoroutine = Generator[Sequence[Request], list[Reply], TaskAnswer]
"""Replies are in the order of the requests; a refused one ends the conversation."""
