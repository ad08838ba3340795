"""Tables of nightly runs: the watermark and report of each, and the files of its sources."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.schema.database_clock import utc_now
from models.schema.tables import CLUSTERED, Base


class NightlyRunRow(Base):
    """One nightly run of a plan."""

    __tablename__ = "nights"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    plan: Mapped[str]
    """The name of the plan's file; the next nightly run of the plan continues from this one."""
    registered_at: Mapped[datetime] = mapped_column(default=utc_now())
    ended_at: Mapped[datetime | None]
    """None if the nightly run was interrupted."""
    watermark: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class NightlyFileRow(Base):
    """The state of a source file when a plan last read it."""

    __tablename__ = "night_files"
    __table_args__ = (CLUSTERED,)
    plan: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    changed_ns: Mapped[int] = mapped_column(BigInteger)
    """The modification time, nanoseconds since 1970."""
