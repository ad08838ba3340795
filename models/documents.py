"""Documents: a clinical note and where it came from.

Does not import databases, queues or networks. Text is stored character for character: every offset in
notemill counts Unicode code points of this text.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator


def text_sha256(text: str) -> str:
    """The content key of a text: sha256 of its UTF-8 bytes, 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


class Document(BaseModel):
    """One note as its source provides it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    external_id: str = Field(min_length=1, max_length=500)
    """The source's own id; another text under the same id is another version."""
    text: str
    """The text as received, with its line ends and spaces; never only white space, never with NUL."""
    source: str = ""
    """The file, or the database without its credentials, that the note was read from."""
    line: int | None = None
    """1-based line or row in the source; none for a whole file."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Every other column of the source, as JSON values."""
    version: str = ""
    """Sorts the versions of one id: in a run the latest one stays. Empty: the source has no versions."""
    replaces: tuple[str, ...] = ()
    """External ids of other documents that this one replaces."""

    @field_validator("text")
    @classmethod
    def _has_text(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("no text")
        if "\x00" in text:
            raise ValueError("a NUL character in the text")
        return text

    @property
    def text_sha256(self) -> str:
        return text_sha256(self.text)


class Refused(BaseModel):
    """A source record that is not a valid document. Holds where and why, never text of the note."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    line: int | None = None
    """1-based line or row in the source; none for a whole file."""
    external_id: str | None = None
    reason: str
    """Short fixed words: 'no text', 'invalid UTF-8', 'malformed JSON', 'duplicate id with other text'."""
    withdraws: bool = False
    """The source deleted the note: the run's document with this id leaves the run."""


class StoredDocument(BaseModel):
    """A document as the database stores it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int
    """The id that a message carries."""
    external_id: str
    source: str
    text: str
    metadata: dict[str, Any]
