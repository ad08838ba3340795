"""A synthetic archive of stored answers of any size, made by SQL statements in the database itself.

Benchmarks measure only reads of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine, text

from models.schema.database import write_transaction

ENTITIES_A_NOTE = 40
_BODY = "Pain in the left arm. No fever. Aspirin 100 mg daily. " * 20
_LABEL = "CASE e.i % 4 WHEN 0 THEN 'medication' WHEN 1 THEN 'test' ELSE 'problem' END"
_WORD = "CASE (n.i + e.i) % 500 WHEN 7 THEN 'sepsis' WHEN 8 THEN 'Hb' ELSE 'term ' || ((n.i + e.i) % 500) END"
_ASSERTION = (
    "CASE (n.i * 3 + e.i) % 20 WHEN 0 THEN 'negated' WHEN 1 THEN 'possible' WHEN 2 THEN 'family'"
    " WHEN 3 THEN 'historical' ELSE 'present' END"
)
_TASKS = {"entities": "{}", "search": '{"query": "Is there pain?"}', "summary": '{"max_words": 120}'}
_JOB = (
    "id, text_sha256, task, parameters, parameters_sha256, recipe_id, status, attempts, attempts_forgiven,"
    " created_at, finished_at, duration_seconds, detail, prompt_tokens, completion_tokens, ranges_read"
)


def fill(engine: Engine, notes: int) -> None:
    """Writes two runs; each note has one job a task, with 40 entities, 5 summary sentences and 2 passages."""
    is_sqlite = engine.dialect.name == "sqlite"
    with write_transaction(engine) as connection:
        for statement in _statements(notes, is_sqlite=is_sqlite):
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


# Only constants of this file and two numbers are formatted into these statements.
# ruff: noqa: S608


def _statements(notes: int, *, is_sqlite: bool) -> Iterator[str]:
    sha = "printf('%064d', n.i)" if is_sqlite else "lpad(n.i::text, 64, '0')"
    timestamp = "'2024-05-06 07:08:09.000000'" if is_sqlite else "TIMESTAMPTZ '2024-05-06 07:08:09Z'"
    json = "{}" if is_sqlite else "CAST({} AS JSON)"
    metadata = """'{"patient": "' || (n.i % 5000) || '", "date": "2024-' || (10 + n.i % 3) || '-01"}'"""
    notes_of = f"FROM numbers n WHERE n.i BETWEEN 1 AND {notes}"
    yield "CREATE TEMPORARY TABLE numbers (i INTEGER PRIMARY KEY)"
    yield (
        "INSERT INTO numbers WITH RECURSIVE m(i) AS"
        f" (SELECT 0 UNION ALL SELECT i + 1 FROM m WHERE i < {max(notes, ENTITIES_A_NOTE)}) SELECT i FROM m"
    )
    yield f"INSERT INTO texts SELECT {sha}, 'Visit ' || n.i || '. {_BODY}', {timestamp} {notes_of}"
    yield (
        "INSERT INTO documents (id, external_id, text_sha256, source, metadata, registered_at)"
        f" SELECT n.i, 'note-' || n.i, {sha}, 'archive', {json.format(metadata)}, {timestamp} {notes_of}"
    )
    yield (
        "INSERT INTO runs (id, created_at, closed_at, questions, recipe_ids, sources, documents, refused)"
        f" SELECT n.i, {timestamp}, {timestamp}, '[]', '[]', '[]', {notes}, 0"
        " FROM numbers n WHERE n.i IN (1, 2)"
    )
    for offset, (task, parameters) in enumerate(_TASKS.items()):
        yield f"INSERT INTO recipes VALUES ('{task}', '{task}', '{task}', '{{}}', '[]', {timestamp})"
        yield (
            f"INSERT INTO jobs ({_JOB}) SELECT n.i * 3 + {offset}, {sha}, '{task}', '{parameters}', '{task}',"
            f" '{task}', 'finished', 1, 0, {timestamp}, {timestamp}, 1.5, '', 900, 20, '[]' {notes_of}"
        )
        yield f"INSERT INTO run_jobs SELECT 1 + n.i % 2, n.i, n.i * 3 + {offset} {notes_of}"
    yield (
        "INSERT INTO entities (job_id, position, span_start, span_end, text, label, assertion, probability)"
        f" SELECT n.i * 3, e.i, e.i * 20, e.i * 20 + 6, {_WORD}, {_LABEL}, {_ASSERTION},"
        " ((n.i * 7 + e.i * 13) % 1000) / 1000.0"
        f" FROM numbers n, numbers e WHERE n.i BETWEEN 1 AND {notes} AND e.i < {ENTITIES_A_NOTE}"
    )
    yield (
        "INSERT INTO entity_attributes (job_id, entity_position, position, span_start, span_end, text, kind)"
        " SELECT n.i * 3, e.i, 0, e.i * 20 + 7, e.i * 20 + 13, '100 mg', 'dosage'"
        f" FROM numbers n, numbers e WHERE n.i BETWEEN 1 AND {notes}"
        f" AND e.i < {ENTITIES_A_NOTE} AND e.i % 8 = 0"
    )
    yield (
        "INSERT INTO passages (job_id, position, span_start, span_end, text, score)"
        " SELECT n.i * 3 + 1, e.i, e.i * 54, e.i * 54 + 21, 'Pain in the left arm, visit ' || n.i, 0.9"
        f" FROM numbers n, numbers e WHERE n.i BETWEEN 1 AND {notes} AND e.i < 2"
    )
    yield (
        "INSERT INTO summaries (job_id, title, text, sections)"
        f" SELECT n.i * 3 + 2, 'Arm pain', 'Arm pain. Was seen on visit ' || n.i || '.', '[]' {notes_of}"
    )
    yield (
        "INSERT INTO summary_sentences (job_id, position, section, text, flags)"
        " SELECT n.i * 3 + 2, e.i, 'Course', 'Was seen.',"
        " CASE WHEN (n.i + e.i) % 50 = 0 THEN 'number_not_in_note' ELSE '' END"
        f" FROM numbers n, numbers e WHERE n.i BETWEEN 1 AND {notes} AND e.i < 5"
    )
    yield (
        "INSERT INTO summary_sources (job_id, sentence_position, position, span_start, span_end)"
        " SELECT n.i * 3 + 2, e.i, 0, e.i * 54, e.i * 54 + 21"
        f" FROM numbers n, numbers e WHERE n.i BETWEEN 1 AND {notes} AND e.i < 5"
    )
    yield "DROP TABLE numbers"
