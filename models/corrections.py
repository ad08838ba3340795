"""What a person said of a mention: right, nearly right, wrong, or missed. Plain values.

A correction belongs to a text and outlives the answer it was made on: the same mention found again by
another recipe is corrected already.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.answers import Assertion


class Verdict(StrEnum):
    """What became of a mention under a person's eyes."""

    ACCEPTED = "accepted"
    FIXED = "fixed"
    REJECTED = "rejected"
    ADDED = "added"
    """The network had missed it."""


class MentionKey(NamedTuple):
    """What a correction is about: characters [start, end) of the text, and the label they were given."""

    start: int
    end: int
    label: str


class Correction(BaseModel):
    """One verdict on one mention. Of an accepted or a rejected one, `start` to `assertion` are as found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Verdict
    found: MentionKey
    """As the network had it; of an added one, as the person added it first."""
    start: int = Field(ge=0)
    end: int
    label: str = Field(min_length=1, max_length=60)
    assertion: Assertion = Assertion.PRESENT
    corrected_by: str = Field(default="", max_length=200)
    """Who said so, as they call themselves."""
    corrected_at: datetime | None = None
    """None until it is stored."""

    @model_validator(mode="after")
    def _is_of_characters(self) -> Correction:
        if self.end <= self.start or self.found.end <= self.found.start or self.found.start < 0:
            raise ValueError("a mention has at least one character")
        return self

    @property
    def mention(self) -> MentionKey:
        return MentionKey(self.start, self.end, self.label)


def with_verdicts(
    entities: Iterable[Mapping[str, Any]], corrections: Sequence[Correction]
) -> list[dict[str, Any]]:
    """Entities as `results` prints them, each with `verdict` ('' where nobody has looked) and `found`;
    fixed ones as they were fixed, added ones among them, in the order of the note."""
    by_found = {correction.found: correction for correction in corrections}
    right = {one.mention: one for one in corrections if one.verdict is not Verdict.REJECTED}
    shown: dict[MentionKey, dict[str, Any]] = {}
    for entity in entities:
        mention = MentionKey(entity["start"], entity["end"], entity["label"])
        # What was fixed to this, or added as this, and is found now: it needs no second look.
        correction = by_found.pop(mention, None) or right.get(mention)
        found = correction.found if correction else mention
        shown.setdefault(found, _with(entity, correction, found))
    for correction in corrections:
        if correction.verdict is Verdict.ADDED:
            shown.setdefault(correction.found, _with(_ADDED, correction, correction.found))
    return sorted(shown.values(), key=lambda one: (one["start"], -one["end"], one["label"]))


_ADDED: dict[str, Any] = {"probability": None, "attributes": []}


def _with(entity: Mapping[str, Any], correction: Correction | None, found: MentionKey) -> dict[str, Any]:
    if correction is None:
        return {**entity, "verdict": "", "found": found}
    said = {"start": correction.start, "end": correction.end, "label": correction.label}
    return {
        **entity,
        **said,
        "assertion": correction.assertion.value,
        "verdict": correction.verdict.value,
        "found": found,
    }
