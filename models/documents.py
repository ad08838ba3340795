"""A document: a clinical note and where it came from.

Knows nothing of databases, queues or networks. Text is kept character for
character: offsets everywhere in notemill count Unicode code points of this text.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator


def text_sha256(text: str) -> str:
    """The content key of a text: sha256 of its UTF-8 bytes, 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


class Document(BaseModel):
    """One note as its source gave it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    external_id: str = Field(min_length=1, max_length=500)
    """The source's own id; with another text under the same id it is another version."""
    text: str
    """As received: line ends, odd spaces and all. Never empty or only white space, never with NUL."""
    source: str = ""
    """The file, or the database without its credentials, that the note was read from."""
    line: int | None = None
    """1-based line or row in the source; none for a whole file."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Every further column of the source, as JSON values."""
    version: str = ""
    """Sorts the versions of one id: in a run a later one takes an earlier one's place. Empty: none told."""
    replaces: tuple[str, ...] = ()
    """External ids of other documents that the source says this one stands for."""

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
    """A record that could not become a document. Holds no text of the note, only where and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    line: int | None = None
    """1-based line or row in the source; none for a whole file."""
    external_id: str | None = None
    reason: str
    """Short and fixed words: 'no text', 'invalid UTF-8', 'malformed JSON', 'duplicate id with other text'."""
    withdraws: bool = False
    """The source takes the note back: what the run has taken in under this id goes out of it again."""


class StoredDocument(BaseModel):
    """A document as the database has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int
    """What a message carries."""
    external_id: str
    source: str
    text: str
    metadata: dict[str, Any]
