"""How a job ends: Finished with an answer, or Failed with a reason. Expected failures are values."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from models.answers import Answer, Span


class Reason(StrEnum):
    """Why a job failed; short words that an operator can group and retry by."""

    UNPARSABLE = "unparsable"
    """The network's answer was not in the form that was asked for."""
    TOO_LONG = "too_long"
    """A prompt does not fit the context or the memory, however the note is cut."""
    NOT_ALL_READ = "not_all_read"
    """Some characters of the note were never in a prompt."""
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    """A surprise: an exception, after the last attempt; `detail` names its type, never its text."""
    KILLED_WORKER = "killed_worker"
    """The worker died with this job in its hands as often as allowed."""


class Finished(BaseModel):
    """A job's answer, and what it cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: Answer
    ranges_read: tuple[Span, ...]
    """The characters of the note that were in a prompt; a finished job has read the whole note."""
    duration_seconds: float = Field(ge=0)
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)


class Failed(BaseModel):
    """A job that has no answer, and why. Holds no text of the note."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Reason
    detail: str = Field(default="", max_length=300)
    duration_seconds: float = Field(default=0, ge=0)


Outcome = Finished | Failed
