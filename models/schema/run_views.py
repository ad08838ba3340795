"""Views of documents, jobs and runs: metadata, coverage of each note, progress and usage of each run."""

from __future__ import annotations

from models.schema.answer_views import DOCUMENT_COLUMNS, FROM_DOCUMENT_TO_JOB
from models.usage import USAGE_FIELDS

_ENGINE_OWED = (
    "prefill_seconds",
    "decode_seconds",
    "constrain_seconds",
    "schedule_seconds",
    "idle_queued_seconds",
)

# Only constants of these files are put into these statements.
# ruff: noqa: S608

DOCUMENTS = """
SELECT d.external_id, d.id AS document_id, d.source, d.text_sha256, d.registered_at,
  {patient} AS patient, {encounter} AS encounter, {title} AS title, {written_at} AS written_at,
  (SELECT length(x.text) FROM texts x WHERE x.sha256 = d.text_sha256) AS characters,
  NOT EXISTS (SELECT 1 FROM documents newer_document
              WHERE newer_document.external_id = d.external_id AND newer_document.id > d.id) AS is_newest
FROM documents d
"""

JOBS = f"""
SELECT {DOCUMENT_COLUMNS}, j.id AS job_id, j.task, {{query}} AS query,
  CAST({{max_words}} AS INTEGER) AS max_words, j.status, j.reason, j.detail, j.recipe_id AS recipe,
  j.attempts, j.worker, j.created_at, j.started_at, j.finished_at, j.duration_seconds,
  j.prompt_tokens, j.completion_tokens,
  CASE WHEN substr(x.text, 1, 8) <> 'nmseal1:' THEN length(x.text) END AS characters
{FROM_DOCUMENT_TO_JOB}
JOIN texts x ON x.sha256 = j.text_sha256
"""

# A finished job has ranges that were read, and between them only white space: the store refuses other answers
# (models.store.answer_validation). Any other job has read nothing, and `reason` says why.
_RANGE = f"SELECT {DOCUMENT_COLUMNS}, j.id AS job_id, j.task, j.status"
COVERAGE = f"""
{_RANGE}, {{range_start}} AS span_start, {{range_end}} AS span_end, 1 = 1 AS is_read, NULL AS reason
{FROM_DOCUMENT_TO_JOB} {{join_ranges}} WHERE j.status = 'finished'
UNION ALL
{_RANGE}, {{range_end}}, COALESCE({{next_start}}, length(x.text)), 1 = 0, 'white_space'
{FROM_DOCUMENT_TO_JOB} JOIN texts x ON x.sha256 = j.text_sha256 {{join_ranges}}
WHERE j.status = 'finished' AND COALESCE({{next_start}}, length(x.text)) > {{range_end}}
UNION ALL
{_RANGE}, 0, COALESCE({{first_start}}, length(x.text)), 1 = 0, 'white_space'
{FROM_DOCUMENT_TO_JOB} JOIN texts x ON x.sha256 = j.text_sha256
WHERE j.status = 'finished' AND COALESCE({{first_start}}, length(x.text)) > 0
UNION ALL
{_RANGE}, 0, length(x.text), 1 = 0, COALESCE(j.reason, j.status)
{FROM_DOCUMENT_TO_JOB} JOIN texts x ON x.sha256 = j.text_sha256
WHERE j.status <> 'finished'
"""

RUN_PROGRESS = """
SELECT r.id AS run, r.created_at, r.closed_at, r.cancelled_at, r.documents, r.refused,
  COUNT(j.id) AS jobs,
  COUNT(CASE WHEN j.status = 'pending' THEN 1 END) AS pending,
  COUNT(CASE WHEN j.status = 'running' THEN 1 END) AS running,
  COUNT(CASE WHEN j.status = 'finished' THEN 1 END) AS finished,
  COUNT(CASE WHEN j.status = 'failed' THEN 1 END) AS failed,
  COUNT(CASE WHEN j.status = 'cancelled' THEN 1 END) AS cancelled,
  COUNT(CASE WHEN j.status = 'finished' AND j.finished_at < r.created_at THEN 1 END) AS finished_before,
  MIN(CASE WHEN j.started_at >= r.created_at THEN j.started_at END) AS first_started_at,
  MAX(CASE WHEN j.finished_at >= r.created_at THEN j.finished_at END) AS last_finished_at
FROM runs r
LEFT JOIN (SELECT DISTINCT run_id, job_id FROM run_jobs) of_run ON of_run.run_id = r.id
LEFT JOIN jobs j ON j.id = of_run.job_id
GROUP BY r.id
"""

RUN_SPENDING = f"""
SELECT id AS run, spent_at, {", ".join(USAGE_FIELDS)},
  {" + ".join(_ENGINE_OWED)} AS engine_owed_seconds,
  idle_queued_seconds / NULLIF({" + ".join(_ENGINE_OWED)}, 0) AS idle_share,
  constrain_seconds / NULLIF(decode_seconds, 0) AS constrain_share,
  CAST(shared_tokens AS DOUBLE PRECISION) / NULLIF(shared_tokens + prefill_tokens, 0) AS shared_share,
  CAST(rows_stepped AS DOUBLE PRECISION) / NULLIF(steps, 0) AS rows_a_step
FROM runs
"""
