"""Outcomes of a job: Finished with an answer, or Failed with a reason. Expected failures are values."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from models.answers import Answer, Span


class Reason(StrEnum):
    """Why a job failed; an operator groups and retries by it."""

    UNPARSABLE = "unparsable"
    """The network's answer was not in the requested form."""
    TOO_LONG = "too_long"
    """A prompt does not fit the context or the memory, even with the smallest windows."""
    NOT_ALL_READ = "not_all_read"
    """Some characters of the note were never in a prompt."""
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    """An unexpected exception ended the last attempt; `detail` is its type, never its text."""
    KILLED_WORKER = "killed_worker"
    """Workers died on this job as often as allowed."""


class Finished(BaseModel):
    """A job's answer, and its duration and tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: Answer
    ranges_read: tuple[Span, ...]
    """The characters of the note that a prompt contained; a finished job has read the whole note."""
    duration_seconds: float = Field(ge=0)
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class Failed(BaseModel):
    """The reason why a job has no answer. Holds no text of the note."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Reason
    detail: str = Field(default="", max_length=300)
    duration_seconds: float = Field(default=0, ge=0)


Outcome = Finished | Failed
