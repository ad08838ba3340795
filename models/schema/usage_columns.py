"""Columns for the fields of `models.usage.Usage` in the table `runs`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column


def _sum(*types: Any) -> Any:
    # server_default: rows of databases from older versions did not have these columns.
    return mapped_column(*types, server_default="0", sort_order=1)


class UsageColumns:
    """The fields of Usage. Token counts of a large archive exceed 2 ** 31."""

    load_seconds: Mapped[float] = _sum()
    prefill_seconds: Mapped[float] = _sum()
    decode_seconds: Mapped[float] = _sum()
    constrain_seconds: Mapped[float] = _sum()
    schedule_seconds: Mapped[float] = _sum()
    idle_queued_seconds: Mapped[float] = _sum()
    idle_empty_seconds: Mapped[float] = _sum()
    read_seconds: Mapped[float] = _sum()
    compile_seconds: Mapped[float] = _sum()
    wait_seconds: Mapped[float] = _sum()
    ground_seconds: Mapped[float] = _sum()
    store_seconds: Mapped[float] = _sum()
    requests: Mapped[int] = _sum(BigInteger)
    steps: Mapped[int] = _sum(BigInteger)
    rows_stepped: Mapped[int] = _sum(BigInteger)
    prefill_tokens: Mapped[int] = _sum(BigInteger)
    shared_tokens: Mapped[int] = _sum(BigInteger)
    decided_places: Mapped[int] = _sum(BigInteger)
    decoded_tokens: Mapped[int] = _sum(BigInteger)
    forced_tokens: Mapped[int] = _sum(BigInteger)
    proposed_tokens: Mapped[int] = _sum(BigInteger)
    accepted_tokens: Mapped[int] = _sum(BigInteger)
    spent_at: Mapped[datetime | None] = mapped_column(sort_order=1)
    """The time when a worker last added usage."""
