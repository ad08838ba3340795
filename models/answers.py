"""Answers: entities, passages or a summary, each linked to characters of its note.

Values that check their own invariants. Does not import the code that computes or stores them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Task(StrEnum):
    """The tasks that can be asked of a note."""

    ENTITIES = "entities"
    SEARCH = "search"
    SUMMARY = "summary"


class Assertion(StrEnum):
    """Assertion status: negation, uncertainty, temporality and experiencer of a mention (ConText's terms)."""

    PRESENT = "present"
    NEGATED = "negated"
    POSSIBLE = "possible"
    HISTORICAL = "historical"
    CONDITIONAL = "conditional"
    FAMILY = "family"


class Flag(StrEnum):
    """Why a person should check a summary sentence. No flag: the note supports it."""

    NUMBER_NOT_IN_NOTE = "number_not_in_note"
    MEDICATION_NOT_IN_NOTE = "medication_not_in_note"
    NEGATION_DIFFERS = "negation_differs"
    UNSUPPORTED = "unsupported"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Span(_Frozen):
    """Characters [start, end) of the original text, in code points."""

    start: int = Field(ge=0)
    end: int

    @model_validator(mode="after")
    def _is_not_empty(self) -> Span:
        if self.end <= self.start:
            raise ValueError(f"span end {self.end} is not after its start {self.start}")
        return self


class Attribute(Span):
    """A dosage, frequency, route or value that belongs to an entity."""

    text: str
    kind: str


class Entity(Span):
    """One mention. `note[start:end] == text`, always."""

    text: str
    label: str
    assertion: Assertion = Assertion.PRESENT
    probability: float | None = Field(default=None, ge=0, le=1)
    """The probability of the label if it was decided; None if it was generated."""
    attributes: tuple[Attribute, ...] = ()


class Passage(Span):
    """One sentence of the note that answers the query."""

    text: str
    score: float = Field(ge=0, le=1)
    """The probability that the sentence answers the query, decided at the sentence's end."""


class SummarySentence(_Frozen):
    """One sentence of a summary, its source sentences in the note, and its flags."""

    section: str
    """The title of its section; '' for the title line."""
    text: str
    sources: tuple[Span, ...] = ()
    flags: tuple[Flag, ...] = ()


class Section(_Frozen):
    """A part of a summary, e.g. title 'Medications'."""

    title: str
    text: str


class Summary(_Frozen):
    """A title line and short sections; `text` is the whole summary as plain text."""

    title: str
    text: str
    sections: tuple[Section, ...]
    sentences: tuple[SummarySentence, ...]


class EntitiesAnswer(_Frozen):
    """Every mention in the order of the note."""

    task: Literal[Task.ENTITIES] = Task.ENTITIES
    entities: tuple[Entity, ...]


class SearchAnswer(_Frozen):
    """The sentences that answer the query, the most relevant first; empty if none does."""

    task: Literal[Task.SEARCH] = Task.SEARCH
    passages: tuple[Passage, ...]


class SummaryAnswer(_Frozen):
    """The summary of one note."""

    task: Literal[Task.SUMMARY] = Task.SUMMARY
    summary: Summary


Answer = Annotated[EntitiesAnswer | SearchAnswer | SummaryAnswer, Field(discriminator="task")]
