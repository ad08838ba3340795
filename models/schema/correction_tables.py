"""The table of corrections. A correction belongs to a text, not to a job."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from models.answers import Assertion
from models.corrections import Verdict
from models.schema.database_clock import utc_now
from models.schema.tables import CLUSTERED, Base, one_of


class CorrectionRow(Base):
    """One verdict on one mention of one text; a later verdict replaces it."""

    __tablename__ = "corrections"
    __table_args__ = (
        one_of("verdict", Verdict),
        one_of("assertion", Assertion),
        CheckConstraint("found_start >= 0 AND found_end > found_start", name="found_in_text"),
        CheckConstraint("span_start >= 0 AND span_end > span_start", name="span_in_text"),
        CLUSTERED,
    )
    text_sha256: Mapped[str] = mapped_column(
        String(64), ForeignKey("texts.sha256", ondelete="CASCADE"), primary_key=True
    )
    found_start: Mapped[int] = mapped_column(primary_key=True)
    found_end: Mapped[int] = mapped_column(primary_key=True)
    found_label: Mapped[str] = mapped_column(primary_key=True)
    verdict: Mapped[str] = mapped_column(String(16))
    span_start: Mapped[int]
    span_end: Mapped[int]
    label: Mapped[str]
    assertion: Mapped[str] = mapped_column(String(16))
    corrected_by: Mapped[str]
    corrected_at: Mapped[datetime] = mapped_column(default=utc_now())
