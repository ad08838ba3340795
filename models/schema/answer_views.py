"""Views of answers: entities, attributes, passages, summaries with their sentences and sources, corrections.

Each starts at the document and reaches its answers by the sha256 of the text.
"""

from __future__ import annotations

DOCUMENT_COLUMNS = """d.external_id, d.id AS document_id, d.source, d.text_sha256"""

# True for the newest version of a note, and for the answer to one question that finished last.
IS_NEWEST = """(
    NOT EXISTS (SELECT 1 FROM documents newer_document
                WHERE newer_document.external_id = d.external_id AND newer_document.id > d.id)
    AND NOT EXISTS (SELECT 1 FROM jobs newer
                    WHERE newer.text_sha256 = j.text_sha256 AND newer.task = j.task
                      AND newer.parameters_sha256 = j.parameters_sha256 AND newer.status = 'finished'
                      AND (newer.finished_at > j.finished_at
                           OR newer.finished_at = j.finished_at AND newer.id > j.id))
  ) AS is_newest"""

FROM_DOCUMENT_TO_JOB = "FROM documents d JOIN jobs j ON j.text_sha256 = d.text_sha256"

# Only constants of this file are put into these statements.
# ruff: noqa: S608

ENTITIES = f"""
SELECT {DOCUMENT_COLUMNS}, j.id AS job_id, j.recipe_id AS recipe, j.finished_at,
  e.position, e.span_start, e.span_end, e.text, e.label, e.assertion, e.probability,
  {{attribute_dosage}}, {{attribute_frequency}}, {{attribute_route}}, {{attribute_value}},
  {IS_NEWEST}
{FROM_DOCUMENT_TO_JOB}
JOIN entities e ON e.job_id = j.id
"""

NEWEST_ANSWERS = f"""
SELECT {DOCUMENT_COLUMNS}, j.id AS job_id, j.task, j.recipe_id AS recipe, j.finished_at
{FROM_DOCUMENT_TO_JOB}
WHERE j.status = 'finished' AND {IS_NEWEST.removesuffix(" AS is_newest")}
"""

ATTRIBUTES = f"""
SELECT {DOCUMENT_COLUMNS}, j.id AS job_id, j.recipe_id AS recipe, j.finished_at,
  e.position AS entity_position, e.text AS entity_text, e.label AS entity_label,
  a.position, a.span_start, a.span_end, a.text, a.kind,
  {IS_NEWEST}
{FROM_DOCUMENT_TO_JOB}
JOIN entity_attributes a ON a.job_id = j.id
JOIN entities e ON e.job_id = a.job_id AND e.position = a.entity_position
"""

PASSAGES = f"""
SELECT {DOCUMENT_COLUMNS}, j.id AS job_id, j.recipe_id AS recipe, j.finished_at,
  {{query}} AS query, p.position, p.span_start, p.span_end, p.text, p.score,
  {IS_NEWEST}
{FROM_DOCUMENT_TO_JOB}
JOIN passages p ON p.job_id = j.id
"""

SUMMARIES = f"""
SELECT {DOCUMENT_COLUMNS}, j.id AS job_id, j.recipe_id AS recipe, j.finished_at,
  CAST({{max_words}} AS INTEGER) AS max_words, s.title, s.text,
  (SELECT COUNT(*) FROM summary_sentences t WHERE t.job_id = s.job_id) AS sentences,
  (SELECT COUNT(*) FROM summary_sentences t WHERE t.job_id = s.job_id AND t.flags <> '')
    AS flagged_sentences,
  {IS_NEWEST}
{FROM_DOCUMENT_TO_JOB}
JOIN summaries s ON s.job_id = j.id
"""

SUMMARY_SENTENCES = f"""
SELECT {DOCUMENT_COLUMNS}, j.id AS job_id, j.recipe_id AS recipe, j.finished_at,
  t.position, t.section, t.text, t.flags, t.flags = '' AS is_supported,
  (SELECT COUNT(*) FROM summary_sources o WHERE o.job_id = t.job_id AND o.sentence_position = t.position)
    AS sources,
  {IS_NEWEST}
{FROM_DOCUMENT_TO_JOB}
JOIN summary_sentences t ON t.job_id = j.id
"""

SUMMARY_SOURCES = f"""
SELECT {DOCUMENT_COLUMNS}, j.id AS job_id, t.position AS sentence_position, t.text AS sentence, t.flags,
  o.position, o.span_start, o.span_end,
  CASE WHEN substr(x.text, 1, 8) <> 'nmseal1:'
       THEN substr(x.text, o.span_start + 1, o.span_end - o.span_start) END AS source_text,
  {IS_NEWEST}
{FROM_DOCUMENT_TO_JOB}
JOIN summary_sentences t ON t.job_id = j.id
JOIN summary_sources o ON o.job_id = t.job_id AND o.sentence_position = t.position
JOIN texts x ON x.sha256 = j.text_sha256
"""

CORRECTIONS = f"""
SELECT {DOCUMENT_COLUMNS}, c.verdict, c.found_start, c.found_end, c.found_label,
  c.span_start, c.span_end, substr(x.text, c.span_start + 1, c.span_end - c.span_start) AS text,
  c.label, c.assertion, c.corrected_by, c.corrected_at
FROM documents d
JOIN corrections c ON c.text_sha256 = d.text_sha256
JOIN texts x ON x.sha256 = c.text_sha256
"""
