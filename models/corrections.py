"""Corrections: a person's verdicts on detected mentions, and on mentions that were missed.

A correction belongs to a text, not to an answer: it also applies to the same mention in answers of later
recipes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.answers import Assertion


class Verdict(StrEnum):
    """A person's verdict on a mention."""

    ACCEPTED = "accepted"
    FIXED = "fixed"
    REJECTED = "rejected"
    ADDED = "added"
    """The network missed the mention."""


class MentionKey(NamedTuple):
    """Identifies a mention: characters [start, end) of the text, and their label."""

    start: int
    end: int
    label: str


class Correction(BaseModel):
    """One verdict on one mention. If accepted or rejected, `start` to `assertion` are those of the answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: Verdict
    found: MentionKey
    """The mention in the answer; for an added mention, as the person first added it."""
    start: int = Field(ge=0)
    end: int
    label: str = Field(min_length=1, max_length=60)
    assertion: Assertion = Assertion.PRESENT
    corrected_by: str = Field(default="", max_length=200)
    """The name that the person gave."""
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
    """Entities as `results` prints them, each with `verdict` ('' if unreviewed) and `found`. Fixed mentions
    have their corrected values, added mentions are included; all are in the order of the note."""
    by_found = {correction.found: correction for correction in corrections}
    valid = {fix.mention: fix for fix in corrections if fix.verdict is not Verdict.REJECTED}
    shown: dict[MentionKey, dict[str, Any]] = {}
    for entity in entities:
        mention = MentionKey(entity["start"], entity["end"], entity["label"])
        # A detected mention that equals a fixed or an added one needs no second review.
        correction = by_found.pop(mention, None) or valid.get(mention)
        detected = correction.found if correction else mention
        shown.setdefault(detected, _with_verdict(entity, correction, detected))
    for correction in corrections:
        if correction.verdict is Verdict.ADDED:
            shown.setdefault(correction.found, _with_verdict(_ADDED, correction, correction.found))
    return sorted(shown.values(), key=lambda entity: (entity["start"], -entity["end"], entity["label"]))


_ADDED: dict[str, Any] = {"probability": None, "attributes": []}


def _with_verdict(
    entity: Mapping[str, Any], correction: Correction | None, mention: MentionKey
) -> dict[str, Any]:
    if correction is None:
        return {**entity, "verdict": "", "found": mention}
    corrected = {"start": correction.start, "end": correction.end, "label": correction.label}
    return {
        **entity,
        **corrected,
        "assertion": correction.assertion.value,
        "verdict": correction.verdict.value,
        "found": mention,
    }
