"""The first tables: texts, documents, runs, jobs and their answers."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
views_fingerprint = "35ac78110e2c26a1"
"""The fingerprint of models/schema/views.py: a changed view needs a new migration."""


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "recipes",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("base_id", sa.String(length=16), nullable=False),
        sa.Column("task", sa.String(length=16), nullable=False),
        sa.Column("ingredients", sa.JSON(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("task IN ('entities', 'search', 'summary')", name="ck_recipes_task_known"),
        sa.PrimaryKeyConstraint("id", name="pk_recipes"),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("questions", sa.JSON(), nullable=False),
        sa.Column("recipe_ids", sa.JSON(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.Column("documents", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_table(
        "servings",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("ingredients", sa.JSON(), nullable=False),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_servings"),
    )
    op.create_table(
        "texts",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_texts"),
    )
    op.create_table(
        "documents",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("text_sha256", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("enqueued_epoch", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["text_sha256"], ["texts.sha256"], name="fk_documents_text_sha256", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_documents"),
        sa.UniqueConstraint("external_id", "text_sha256", name="uq_documents_external_id_text_sha256"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_documents_text_sha256", "documents", ["text_sha256"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("text_sha256", sa.String(length=64), nullable=False),
        sa.Column("task", sa.String(length=16), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("parameters_sha256", sa.String(length=64), nullable=False),
        sa.Column("recipe_id", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("attempts_forgiven", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_until_epoch", sa.Double(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("duration_seconds", sa.Double(), nullable=True),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=False),
        sa.Column("ranges_read", sa.JSON(), nullable=False),
        sa.CheckConstraint("(status = 'failed') = (reason IS NOT NULL)", name="ck_jobs_reason_where_failed"),
        sa.CheckConstraint(
            "(status = 'running') = (worker IS NOT NULL AND lease_until_epoch IS NOT NULL)",
            name="ck_jobs_worker_where_running",
        ),
        sa.CheckConstraint(
            "status <> 'finished' OR finished_at IS NOT NULL", name="ck_jobs_time_where_finished"
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'finished', 'failed', 'cancelled')", name="ck_jobs_status_known"
        ),
        sa.CheckConstraint("task IN ('entities', 'search', 'summary')", name="ck_jobs_task_known"),
        sa.CheckConstraint(
            "attempts >= attempts_forgiven AND attempts_forgiven >= 0", name="ck_jobs_attempts_counted"
        ),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipes.id"], name="fk_jobs_recipe_id", ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["text_sha256"], ["texts.sha256"], name="fk_jobs_text_sha256", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("text_sha256", "task", "parameters_sha256", "recipe_id", name="uq_jobs_content"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_failed", "jobs", ["reason"], unique=False, **_where("jobs.status = 'failed'"))
    op.create_index(
        "ix_jobs_owed",
        "jobs",
        ["text_sha256"],
        unique=False,
        **_where("jobs.status IN ('pending', 'running')"),
    )
    op.create_index("ix_jobs_running", "jobs", ["worker"], unique=False, **_where("jobs.status = 'running'"))
    op.create_table(
        "serving_bases",
        sa.Column("serving_id", sa.String(length=16), nullable=False),
        sa.Column("task", sa.String(length=16), nullable=False),
        sa.Column("base_id", sa.String(length=16), nullable=False),
        sa.CheckConstraint("task IN ('entities', 'search', 'summary')", name="ck_serving_bases_task_known"),
        sa.ForeignKeyConstraint(
            ["serving_id"], ["servings.id"], name="fk_serving_bases_serving_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("serving_id", "task", name="pk_serving_bases"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "attempts",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_as", sa.String(length=16), nullable=True),
        sa.CheckConstraint(
            "ended_as IN ('finished', 'failed', 'given_back', 'released', 'lease_expired')",
            name="ck_attempts_ended_as_known",
        ),
        sa.CheckConstraint("(ended_at IS NULL) = (ended_as IS NULL)", name="ck_attempts_end_has_time"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_attempts_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "attempt", name="pk_attempts"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "entities",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("span_start", sa.Integer(), nullable=False),
        sa.Column("span_end", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("assertion", sa.String(length=16), nullable=False),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "assertion IN ('present', 'negated', 'possible', 'historical', 'conditional', 'family')",
            name="ck_entities_assertion_known",
        ),
        sa.CheckConstraint("probability >= 0 AND probability <= 1", name="ck_entities_probability_in_range"),
        sa.CheckConstraint("span_end > span_start", name="ck_entities_span_not_empty"),
        sa.CheckConstraint("span_start >= 0", name="ck_entities_span_start_in_text"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_entities_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_entities"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "passages",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("span_start", sa.Integer(), nullable=False),
        sa.Column("span_end", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.CheckConstraint("score >= 0 AND score <= 1", name="ck_passages_score_in_range"),
        sa.CheckConstraint("span_end > span_start", name="ck_passages_span_not_empty"),
        sa.CheckConstraint("span_start >= 0", name="ck_passages_span_start_in_text"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_passages_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_passages"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "run_jobs",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("document_id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name="fk_run_jobs_document_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_run_jobs_job_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_jobs_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "document_id", "job_id", name="pk_run_jobs"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_run_jobs_document_id_job_id_run_id", "run_jobs", ["document_id", "job_id", "run_id"], unique=False
    )
    op.create_index("ix_run_jobs_job_id_run_id", "run_jobs", ["job_id", "run_id"], unique=False)
    op.create_table(
        "summaries",
        sa.Column("job_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("sections", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_summaries_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name="pk_summaries"),
    )
    op.create_table(
        "entity_attributes",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("entity_position", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("span_start", sa.Integer(), nullable=False),
        sa.Column("span_end", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.CheckConstraint("span_end > span_start", name="ck_entity_attributes_span_not_empty"),
        sa.CheckConstraint("span_start >= 0", name="ck_entity_attributes_span_start_in_text"),
        sa.ForeignKeyConstraint(
            ["job_id", "entity_position"],
            ["entities.job_id", "entities.position"],
            name="fk_entity_attributes_job_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "entity_position", "position", name="pk_entity_attributes"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "summary_sentences",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["summaries.job_id"], name="fk_summary_sentences_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_summary_sentences"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "summary_sources",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("sentence_position", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("span_start", sa.Integer(), nullable=False),
        sa.Column("span_end", sa.Integer(), nullable=False),
        sa.CheckConstraint("span_end > span_start", name="ck_summary_sources_span_not_empty"),
        sa.CheckConstraint("span_start >= 0", name="ck_summary_sources_span_start_in_text"),
        sa.ForeignKeyConstraint(
            ["job_id", "sentence_position"],
            ["summary_sentences.job_id", "summary_sentences.position"],
            name="fk_summary_sources_job_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "sentence_position", "position", name="pk_summary_sources"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("summary_sources")
    op.drop_table("summary_sentences")
    op.drop_table("entity_attributes")
    op.drop_table("summaries")
    op.drop_table("run_jobs")
    op.drop_table("passages")
    op.drop_table("entities")
    op.drop_table("attempts")
    op.drop_table("serving_bases")
    op.drop_table("jobs")
    op.drop_table("documents")
    op.drop_table("texts")
    op.drop_table("servings")
    op.drop_table("runs")
    op.drop_table("recipes")
