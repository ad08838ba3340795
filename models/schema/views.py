"""The views for analysts, as SQL. docs/sql.md says what each column means.

A view goes from a document to its answers by the sha256 of the text, so that documents of equal text
both show. Only JSON members and substrings differ between the two databases.
"""

from __future__ import annotations

from typing import Literal

from models.jobs import fingerprint
from models.usage import USAGE_FIELDS

Dialect = Literal["sqlite", "postgresql"]

_DOCUMENT = """d.external_id, d.id AS document_id, d.source, d.text_sha256"""

# Of the versions of a note the newest, of its answers to one question the one finished last.
_IS_NEWEST = """(
    NOT EXISTS (SELECT 1 FROM documents newer_document
                WHERE newer_document.external_id = d.external_id AND newer_document.id > d.id)
    AND NOT EXISTS (SELECT 1 FROM jobs newer
                    WHERE newer.text_sha256 = j.text_sha256 AND newer.task = j.task
                      AND newer.parameters_sha256 = j.parameters_sha256 AND newer.status = 'finished'
                      AND (newer.finished_at > j.finished_at
                           OR newer.finished_at = j.finished_at AND newer.id > j.id))
  ) AS is_newest"""

_FROM_DOCUMENT_TO_JOB = "FROM documents d JOIN jobs j ON j.text_sha256 = d.text_sha256"

_ENGINE_OWED = (
    "prefill_seconds",
    "decode_seconds",
    "constrain_seconds",
    "schedule_seconds",
    "idle_queued_seconds",
)

# The pieces put into these statements are constants of this file.
# ruff: noqa: S608

_DOCUMENTS = """
SELECT d.external_id, d.id AS document_id, d.source, d.text_sha256, d.registered_at,
  {patient} AS patient, {encounter} AS encounter, {title} AS title, {written_at} AS written_at,
  (SELECT length(x.text) FROM texts x WHERE x.sha256 = d.text_sha256) AS characters,
  NOT EXISTS (SELECT 1 FROM documents newer_document
              WHERE newer_document.external_id = d.external_id AND newer_document.id > d.id) AS is_newest
FROM documents d
"""
# What sources call it, in the order of `exports.export_metadata`.
_METADATA = {
    "patient": ("patient", "person_id", "subject_id", "patient_id"),
    "encounter": ("encounter", "visit_occurrence_id", "hadm_id", "encounter_id"),
    "title": ("title", "note_title", "type_name", "note_type"),
    "written_at": ("date", "note_datetime", "note_date", "charttime", "chartdate"),
}

_ENTITIES = f"""
SELECT {_DOCUMENT}, j.id AS job_id, j.recipe_id AS recipe, j.finished_at,
  e.position, e.span_start, e.span_end, e.text, e.label, e.assertion, e.probability,
  {{attribute_dosage}}, {{attribute_frequency}}, {{attribute_route}}, {{attribute_value}},
  {_IS_NEWEST}
{_FROM_DOCUMENT_TO_JOB}
JOIN entities e ON e.job_id = j.id
"""

_NEWEST_ANSWERS = f"""
SELECT {_DOCUMENT}, j.id AS job_id, j.task, j.recipe_id AS recipe, j.finished_at
{_FROM_DOCUMENT_TO_JOB}
WHERE j.status = 'finished' AND {_IS_NEWEST.removesuffix(" AS is_newest")}
"""

_ATTRIBUTES = f"""
SELECT {_DOCUMENT}, j.id AS job_id, j.recipe_id AS recipe, j.finished_at,
  e.position AS entity_position, e.text AS entity_text, e.label AS entity_label,
  a.position, a.span_start, a.span_end, a.text, a.kind,
  {_IS_NEWEST}
{_FROM_DOCUMENT_TO_JOB}
JOIN entity_attributes a ON a.job_id = j.id
JOIN entities e ON e.job_id = a.job_id AND e.position = a.entity_position
"""

_PASSAGES = f"""
SELECT {_DOCUMENT}, j.id AS job_id, j.recipe_id AS recipe, j.finished_at,
  {{query}} AS query, p.position, p.span_start, p.span_end, p.text, p.score,
  {_IS_NEWEST}
{_FROM_DOCUMENT_TO_JOB}
JOIN passages p ON p.job_id = j.id
"""

_SUMMARIES = f"""
SELECT {_DOCUMENT}, j.id AS job_id, j.recipe_id AS recipe, j.finished_at,
  CAST({{max_words}} AS INTEGER) AS max_words, s.title, s.text,
  (SELECT COUNT(*) FROM summary_sentences t WHERE t.job_id = s.job_id) AS sentences,
  (SELECT COUNT(*) FROM summary_sentences t WHERE t.job_id = s.job_id AND t.flags <> '')
    AS flagged_sentences,
  {_IS_NEWEST}
{_FROM_DOCUMENT_TO_JOB}
JOIN summaries s ON s.job_id = j.id
"""

_SUMMARY_SENTENCES = f"""
SELECT {_DOCUMENT}, j.id AS job_id, j.recipe_id AS recipe, j.finished_at,
  t.position, t.section, t.text, t.flags, t.flags = '' AS is_supported,
  (SELECT COUNT(*) FROM summary_sources o WHERE o.job_id = t.job_id AND o.sentence_position = t.position)
    AS sources,
  {_IS_NEWEST}
{_FROM_DOCUMENT_TO_JOB}
JOIN summary_sentences t ON t.job_id = j.id
"""

_SUMMARY_SOURCES = f"""
SELECT {_DOCUMENT}, j.id AS job_id, t.position AS sentence_position, t.text AS sentence, t.flags,
  o.position, o.span_start, o.span_end,
  CASE WHEN substr(x.text, 1, 8) <> 'nmseal1:'
       THEN substr(x.text, o.span_start + 1, o.span_end - o.span_start) END AS source_text,
  {_IS_NEWEST}
{_FROM_DOCUMENT_TO_JOB}
JOIN summary_sentences t ON t.job_id = j.id
JOIN summary_sources o ON o.job_id = t.job_id AND o.sentence_position = t.position
JOIN texts x ON x.sha256 = j.text_sha256
"""

_JOBS = f"""
SELECT {_DOCUMENT}, j.id AS job_id, j.task, {{query}} AS query,
  CAST({{max_words}} AS INTEGER) AS max_words, j.status, j.reason, j.detail, j.recipe_id AS recipe,
  j.attempts, j.worker, j.created_at, j.started_at, j.finished_at, j.duration_seconds,
  j.prompt_tokens, j.completion_tokens,
  CASE WHEN substr(x.text, 1, 8) <> 'nmseal1:' THEN length(x.text) END AS characters
{_FROM_DOCUMENT_TO_JOB}
JOIN texts x ON x.sha256 = j.text_sha256
"""

# Of a finished job the ranges that were read and, between them, those that were not: only white space, or the
# store refuses the answer (models.store.answer_validation). Of any other job nothing counts as read, and why.
_RANGE = f"SELECT {_DOCUMENT}, j.id AS job_id, j.task, j.status"
_COVERAGE = f"""
{_RANGE}, {{range_start}} AS span_start, {{range_end}} AS span_end, 1 = 1 AS is_read, NULL AS reason
{_FROM_DOCUMENT_TO_JOB} {{join_ranges}} WHERE j.status = 'finished'
UNION ALL
{_RANGE}, {{range_end}}, COALESCE({{next_start}}, length(x.text)), 1 = 0, 'white_space'
{_FROM_DOCUMENT_TO_JOB} JOIN texts x ON x.sha256 = j.text_sha256 {{join_ranges}}
WHERE j.status = 'finished' AND COALESCE({{next_start}}, length(x.text)) > {{range_end}}
UNION ALL
{_RANGE}, 0, COALESCE({{first_start}}, length(x.text)), 1 = 0, 'white_space'
{_FROM_DOCUMENT_TO_JOB} JOIN texts x ON x.sha256 = j.text_sha256
WHERE j.status = 'finished' AND COALESCE({{first_start}}, length(x.text)) > 0
UNION ALL
{_RANGE}, 0, length(x.text), 1 = 0, COALESCE(j.reason, j.status)
{_FROM_DOCUMENT_TO_JOB} JOIN texts x ON x.sha256 = j.text_sha256
WHERE j.status <> 'finished'
"""

_CORRECTIONS = f"""
SELECT {_DOCUMENT}, c.verdict, c.found_start, c.found_end, c.found_label,
  c.span_start, c.span_end, substr(x.text, c.span_start + 1, c.span_end - c.span_start) AS text,
  c.label, c.assertion, c.corrected_by, c.corrected_at
FROM documents d
JOIN corrections c ON c.text_sha256 = d.text_sha256
JOIN texts x ON x.sha256 = c.text_sha256
"""

_RUN_PROGRESS = """
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

_RUN_SPENDING = f"""
SELECT id AS run, spent_at, {", ".join(USAGE_FIELDS)},
  {" + ".join(_ENGINE_OWED)} AS engine_owed_seconds,
  idle_queued_seconds / NULLIF({" + ".join(_ENGINE_OWED)}, 0) AS idle_share,
  constrain_seconds / NULLIF(decode_seconds, 0) AS constrain_share,
  CAST(shared_tokens AS DOUBLE PRECISION) / NULLIF(shared_tokens + prefill_tokens, 0) AS shared_share,
  CAST(rows_stepped AS DOUBLE PRECISION) / NULLIF(steps, 0) AS rows_a_step
FROM runs
"""

_VIEWS = {
    "v_documents": _DOCUMENTS,
    "v_newest_answers": _NEWEST_ANSWERS,
    "v_entities": _ENTITIES,
    "v_entity_attributes": _ATTRIBUTES,
    "v_passages": _PASSAGES,
    "v_summaries": _SUMMARIES,
    "v_summary_sentences": _SUMMARY_SENTENCES,
    "v_summary_sources": _SUMMARY_SOURCES,
    "v_jobs": _JOBS,
    "v_coverage": _COVERAGE,
    "v_corrections": _CORRECTIONS,
    "v_run_progress": _RUN_PROGRESS,
    "v_run_spending": _RUN_SPENDING,
}
USAGE_FIELDS = tuple(_VIEWS)


_RANGES: dict[Dialect, dict[str, str]] = {
    "sqlite": {
        "join_ranges": "JOIN json_each(j.ranges_read) r",
        "range_start": "json_extract(r.value, '$[0]')",
        "range_end": "json_extract(r.value, '$[1]')",
        "next_start": "json_extract(j.ranges_read, '$[' || (r.key + 1) || '][0]')",
        "first_start": "json_extract(j.ranges_read, '$[0][0]')",
    },
    "postgresql": {
        "join_ranges": "CROSS JOIN LATERAL json_array_elements(j.ranges_read)"
        " WITH ORDINALITY AS r(value, number)",
        "range_start": "CAST(r.value ->> 0 AS INTEGER)",
        "range_end": "CAST(r.value ->> 1 AS INTEGER)",
        "next_start": "CAST(j.ranges_read -> CAST(r.number AS INTEGER) ->> 0 AS INTEGER)",
        "first_start": "CAST(j.ranges_read -> 0 ->> 0 AS INTEGER)",
    },
}
"""`ranges_read` is in order and without overlaps."""


def create_statements(dialect: Dialect) -> list[str]:
    """CREATE VIEW for every view, in the order of NAMES."""
    pieces = {name: _parameter(name, dialect) for name in ("query", "max_words")}
    pieces |= _RANGES[dialect]
    pieces |= {f"attribute_{kind}": _attribute(kind) for kind in ("dosage", "frequency", "route", "value")}
    pieces |= {name: _metadata(members, dialect) for name, members in _METADATA.items()}
    return [f"CREATE VIEW {name} AS{sql.format(**pieces).rstrip()}" for name, sql in _VIEWS.items()]


def drop_statements() -> list[str]:
    """DROP VIEW for every view that is there."""
    return [f"DROP VIEW IF EXISTS {name}" for name in reversed(USAGE_FIELDS)]


def views_fingerprint() -> str:
    """Changes with any view; each migration names the one it was written for."""
    return fingerprint({"sqlite": create_statements("sqlite"), "postgresql": create_statements("postgresql")})


def _parameter(name: str, dialect: Dialect) -> str:
    # ->> would do on both, but SQLite has it only since 3.38.
    return (
        f"json_extract(j.parameters, '$.{name}')" if dialect == "sqlite" else f"(j.parameters ->> '{name}')"
    )


def _metadata(members: tuple[str, ...], dialect: Dialect) -> str:
    way = "json_extract(d.metadata, '$.{}')" if dialect == "sqlite" else "(d.metadata ->> '{}')"
    return f"CAST(COALESCE({', '.join(way.format(name) for name in members)}) AS TEXT)"


def _attribute(kind: str) -> str:
    return f"""(SELECT a.text FROM entity_attributes a WHERE a.job_id = e.job_id
     AND a.entity_position = e.position AND a.kind = '{kind}' ORDER BY a.position LIMIT 1) AS {kind}"""
