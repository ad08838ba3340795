"""Tables of texts, documents, runs, recipes, jobs and claims, with their keys and constraints.

`models.schema.answer_tables` has the answers. `…_at` is a time in UTC, `…_epoch` seconds since 1970 by the
database's clock.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from models.answers import Task
from models.jobs import AttemptEnd, JobStatus
from models.schema.database_clock import UtcDateTime, utc_now
from models.schema.encrypted_columns import EncryptedText
from models.schema.job_conditions import (
    IS_FAILED,
    IS_RUNNING,
    OWED_OR_RUNNING,
    QUARANTINED_AND_OWED_OR_RUNNING,
    URGENT_AND_OWED_OR_RUNNING,
)
from models.schema.usage_columns import UsageColumns


def one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    """The column holds one of the enumeration's values."""
    literals = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({literals})", name=f"{column}_known")


_SHA256 = String(64)
_FINGERPRINT = String(16)
# For composite keys that begin with the job: one B-tree, in which the rows of an answer are adjacent.
CLUSTERED = {"sqlite_with_rowid": False}
# SQLite would reuse the id of a deleted row; a message or a late worker may still hold it.
NEVER_REUSED = {"sqlite_autoincrement": True}


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime(), str: Text(), dict[str, Any]: JSON(), list[Any]: JSON()}


class TextRow(Base):
    """One distinct text."""

    __tablename__ = "texts"
    sha256: Mapped[str] = mapped_column(_SHA256, primary_key=True)
    text: Mapped[str] = mapped_column(EncryptedText)
    created_at: Mapped[datetime] = mapped_column(default=utc_now())


class DocumentRow(Base):
    """One version of a note: another text under the same external id is another row."""

    __tablename__ = "documents"
    __table_args__ = (
        UniqueConstraint("external_id", "text_sha256"),
        Index(None, "text_sha256"),
        NEVER_REUSED,
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    external_id: Mapped[str]
    text_sha256: Mapped[str] = mapped_column(_SHA256, ForeignKey("texts.sha256", ondelete="CASCADE"))
    source: Mapped[str]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata")
    registered_at: Mapped[datetime] = mapped_column(default=utc_now())
    enqueued_epoch: Mapped[float | None]
    """The time of its last message; the sweep skips documents with a recent message."""


class RunRow(UsageColumns, Base):
    """One submission and its usage."""

    __tablename__ = "runs"
    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now())
    closed_at: Mapped[datetime | None]
    """The time when registration was complete."""
    cancelled_at: Mapped[datetime | None]
    questions: Mapped[list[Any]]
    recipe_ids: Mapped[list[Any]]
    sources: Mapped[list[Any]]
    documents: Mapped[int] = mapped_column(default=0)
    refused: Mapped[int] = mapped_column(default=0)
    traceparent: Mapped[str | None] = mapped_column(String(55), sort_order=2)
    """The W3C Trace Context of a traced submission: ids only."""


class ServingRow(Base):
    """A serving that a worker announced, and when last."""

    __tablename__ = "servings"
    id: Mapped[str] = mapped_column(_FINGERPRINT, primary_key=True)
    ingredients: Mapped[dict[str, Any]]
    announced_at: Mapped[datetime] = mapped_column(default=utc_now())


class ServingBaseRow(Base):
    """The base of the recipes that a serving can answer under, with any labels."""

    __tablename__ = "serving_bases"
    __table_args__ = (one_of("task", Task), CLUSTERED)
    serving_id: Mapped[str] = mapped_column(
        _FINGERPRINT, ForeignKey("servings.id", ondelete="CASCADE"), primary_key=True
    )
    task: Mapped[str] = mapped_column(String(16), primary_key=True)
    base_id: Mapped[str] = mapped_column(_FINGERPRINT)


class RecipeRow(Base):
    """Everything that can change an answer, under its fingerprint."""

    __tablename__ = "recipes"
    __table_args__ = (one_of("task", Task),)
    id: Mapped[str] = mapped_column(_FINGERPRINT, primary_key=True)
    base_id: Mapped[str] = mapped_column(_FINGERPRINT)
    """The fingerprint of the recipe without its labels; a serving needs this base to answer."""
    task: Mapped[str] = mapped_column(String(16))
    ingredients: Mapped[dict[str, Any]]
    labels: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now())


class RecipeAdoptionRow(Base):
    """Answers under `old_id` count as answers under `new_id`."""

    __tablename__ = "recipe_adoptions"
    old_id: Mapped[str] = mapped_column(ForeignKey("recipes.id"), primary_key=True)
    new_id: Mapped[str] = mapped_column(ForeignKey("recipes.id"), primary_key=True)
    adopted_at: Mapped[datetime] = mapped_column(default=utc_now())


class JobRow(Base):
    """One question on one text under one recipe; all runs that ask for it share the row."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("text_sha256", "task", "parameters_sha256", "recipe_id", name="uq_jobs_content"),
        one_of("task", Task),
        one_of("status", JobStatus),
        CheckConstraint("attempts >= attempts_forgiven AND attempts_forgiven >= 0", name="attempts_counted"),
        CheckConstraint("(status = 'failed') = (reason IS NOT NULL)", name="reason_where_failed"),
        CheckConstraint(
            "(status = 'running') = (worker IS NOT NULL AND lease_until_epoch IS NOT NULL)",
            name="worker_where_running",
        ),
        CheckConstraint("status <> 'finished' OR finished_at IS NOT NULL", name="time_where_finished"),
        Index("ix_jobs_owed", "text_sha256", sqlite_where=OWED_OR_RUNNING, postgresql_where=OWED_OR_RUNNING),
        Index(
            "ix_jobs_urgent",
            "text_sha256",
            sqlite_where=URGENT_AND_OWED_OR_RUNNING,
            postgresql_where=URGENT_AND_OWED_OR_RUNNING,
        ),
        Index(
            "ix_jobs_suspect",
            "text_sha256",
            sqlite_where=QUARANTINED_AND_OWED_OR_RUNNING,
            postgresql_where=QUARANTINED_AND_OWED_OR_RUNNING,
        ),
        Index("ix_jobs_running", "worker", sqlite_where=IS_RUNNING, postgresql_where=IS_RUNNING),
        Index("ix_jobs_failed", "reason", sqlite_where=IS_FAILED, postgresql_where=IS_FAILED),
        NEVER_REUSED,
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    text_sha256: Mapped[str] = mapped_column(_SHA256, ForeignKey("texts.sha256", ondelete="CASCADE"))
    task: Mapped[str] = mapped_column(String(16))
    parameters: Mapped[dict[str, Any]]
    parameters_sha256: Mapped[str] = mapped_column(_SHA256)
    recipe_id: Mapped[str] = mapped_column(_FINGERPRINT, ForeignKey("recipes.id", ondelete="RESTRICT"))
    status: Mapped[str] = mapped_column(String(16), default=JobStatus.PENDING.value)
    attempts: Mapped[int] = mapped_column(default=0)
    """The number of claims; it never decreases, so that the store can refuse a late worker."""
    attempts_forgiven: Mapped[int] = mapped_column(default=0)
    """Claims that do not count against the limit: released at a shutdown, or before a retry."""
    worker: Mapped[str | None]
    lease_until_epoch: Mapped[float | None]
    """Running: the end of the lease. Pending after an unexpected exception: the earliest next claim."""
    created_at: Mapped[datetime] = mapped_column(default=utc_now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    """The time when it finished, failed or was cancelled."""
    reason: Mapped[str | None] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(default="")
    duration_seconds: Mapped[float | None]
    prompt_tokens: Mapped[int] = mapped_column(default=0)
    completion_tokens: Mapped[int] = mapped_column(default=0)
    ranges_read: Mapped[list[Any]] = mapped_column(default=list)
    """Pairs [start, end]."""
    is_urgent: Mapped[bool] = mapped_column(default=False, server_default=false())
    """A person waits for it; it has priority over the jobs of nightly runs."""
    kills: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Workers that died, or were silent for a whole lease, while they ran this job."""


class RunJobRow(Base):
    """Links a document of a run to a job; runs and documents of equal text share jobs."""

    __tablename__ = "run_jobs"
    __table_args__ = (
        Index(None, "document_id", "job_id", "run_id"),
        Index(None, "job_id", "run_id"),
        CLUSTERED,
    )
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)


class AttemptRow(Base):
    """One claim of a job by a worker."""

    __tablename__ = "attempts"
    __table_args__ = (
        CheckConstraint("(ended_at IS NULL) = (ended_as IS NULL)", name="end_has_time"),
        one_of("ended_as", AttemptEnd),
        CLUSTERED,
    )
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    worker: Mapped[str]
    started_at: Mapped[datetime] = mapped_column(default=utc_now())
    ended_at: Mapped[datetime | None]
    ended_as: Mapped[str | None] = mapped_column(String(16))
