"""Tables of answers: entities, passages and summaries, each row under its job.

Offsets are `span_start` and `span_end` (END is an SQL keyword): Unicode code points of the note, end
exclusive. `position` counts from 0 in the order of the answer.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from models.answers import Assertion
from models.schema.encrypted_columns import EncryptedJson, EncryptedText
from models.schema.tables import CLUSTERED, Base, one_of


def _span_checks() -> tuple[CheckConstraint, CheckConstraint]:
    return (
        CheckConstraint("span_start >= 0", name="span_start_in_text"),
        CheckConstraint("span_end > span_start", name="span_not_empty"),
    )


class EntityRow(Base):
    """One mention; `position` follows the order of the note."""

    __tablename__ = "entities"
    __table_args__ = (
        *_span_checks(),
        one_of("assertion", Assertion),
        CheckConstraint("probability >= 0 AND probability <= 1", name="probability_in_range"),
        Index(None, "label", "text", "assertion"),
        # The job comes last: matches are in the order of jobs, so that their notes are read in order.
        Index(None, "label", "assertion", "job_id"),
        CLUSTERED,
    )
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    span_start: Mapped[int]
    span_end: Mapped[int]
    text: Mapped[str] = mapped_column(EncryptedText)
    label: Mapped[str]
    assertion: Mapped[str] = mapped_column(String(16))
    probability: Mapped[float | None]


class EntityAttributeRow(Base):
    """A dosage, frequency, route or value of an entity."""

    __tablename__ = "entity_attributes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["job_id", "entity_position"], ["entities.job_id", "entities.position"], ondelete="CASCADE"
        ),
        *_span_checks(),
        CLUSTERED,
    )
    job_id: Mapped[int] = mapped_column(primary_key=True)
    entity_position: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    span_start: Mapped[int]
    span_end: Mapped[int]
    text: Mapped[str] = mapped_column(EncryptedText)
    kind: Mapped[str]


class PassageRow(Base):
    """One sentence that answers a query; `position` 0 is the most relevant."""

    __tablename__ = "passages"
    __table_args__ = (
        *_span_checks(),
        CheckConstraint("score >= 0 AND score <= 1", name="score_in_range"),
        CLUSTERED,
    )
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    span_start: Mapped[int]
    span_end: Mapped[int]
    text: Mapped[str] = mapped_column(EncryptedText)
    score: Mapped[float]


class SummaryRow(Base):
    """The summary of one note."""

    __tablename__ = "summaries"
    job_id: Mapped[int] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    title: Mapped[str] = mapped_column(EncryptedText)
    text: Mapped[str] = mapped_column(EncryptedText)
    sections: Mapped[list[Any]] = mapped_column(EncryptedJson)
    """Objects {title, text}, in order."""


class SummarySentenceRow(Base):
    """One sentence of a summary and its flags."""

    __tablename__ = "summary_sentences"
    __table_args__ = (CLUSTERED,)
    job_id: Mapped[int] = mapped_column(ForeignKey("summaries.job_id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    section: Mapped[str] = mapped_column(EncryptedText)
    text: Mapped[str] = mapped_column(EncryptedText)
    flags: Mapped[str]
    """Its flags, comma-separated; empty: the note supports the sentence."""


class SummarySourceRow(Base):
    """A source sentence in the note of a summary sentence."""

    __tablename__ = "summary_sources"
    __table_args__ = (
        ForeignKeyConstraint(
            ["job_id", "sentence_position"],
            ["summary_sentences.job_id", "summary_sentences.position"],
            ondelete="CASCADE",
        ),
        *_span_checks(),
        CLUSTERED,
    )
    job_id: Mapped[int] = mapped_column(primary_key=True)
    sentence_position: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    span_start: Mapped[int]
    span_end: Mapped[int]
