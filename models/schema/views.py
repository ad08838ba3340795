"""The views for analysts: their SQL on each database, and how they are created and dropped.

docs/reference/sql.md describes each column. Documents of equal text share their answers. Expressions over
JSON differ between the two databases and are here; `answer_views` and `run_views` have the statements.
"""

from __future__ import annotations

from typing import Literal

from models.jobs import fingerprint
from models.schema import answer_views, run_views

Dialect = Literal["sqlite", "postgresql"]

_VIEWS = {
    "v_documents": run_views.DOCUMENTS,
    "v_newest_answers": answer_views.NEWEST_ANSWERS,
    "v_entities": answer_views.ENTITIES,
    "v_entity_attributes": answer_views.ATTRIBUTES,
    "v_passages": answer_views.PASSAGES,
    "v_summaries": answer_views.SUMMARIES,
    "v_summary_sentences": answer_views.SUMMARY_SENTENCES,
    "v_summary_sources": answer_views.SUMMARY_SOURCES,
    "v_jobs": run_views.JOBS,
    "v_coverage": run_views.COVERAGE,
    "v_corrections": answer_views.CORRECTIONS,
    "v_run_progress": run_views.RUN_PROGRESS,
    "v_run_spending": run_views.RUN_SPENDING,
}
VIEW_NAMES = tuple(_VIEWS)

# The names that sources give these columns, in the order of `exports.source.export_metadata`.
_METADATA = {
    "patient": ("patient", "person_id", "subject_id", "patient_id"),
    "encounter": ("encounter", "visit_occurrence_id", "hadm_id", "encounter_id"),
    "title": ("title", "note_title", "type_name", "note_type"),
    "written_at": ("date", "note_datetime", "note_date", "charttime", "chartdate"),
}

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
"""Expressions over the JSON `ranges_read`, which is in order and without overlaps."""


def create_statements(dialect: Dialect) -> list[str]:
    """CREATE VIEW for every view, in the order of VIEW_NAMES."""
    fragments = {name: _parameter(name, dialect) for name in ("query", "max_words")}
    fragments |= _RANGES[dialect]
    fragments |= {f"attribute_{kind}": _attribute(kind) for kind in ("dosage", "frequency", "route", "value")}
    fragments |= {name: _metadata(members, dialect) for name, members in _METADATA.items()}
    return [f"CREATE VIEW {name} AS{sql.format(**fragments).rstrip()}" for name, sql in _VIEWS.items()]


def drop_statements() -> list[str]:
    """DROP VIEW for every view that exists."""
    return [f"DROP VIEW IF EXISTS {name}" for name in reversed(VIEW_NAMES)]


def views_fingerprint() -> str:
    """Changes if any view changes; each migration names the fingerprint it was written for."""
    return fingerprint({"sqlite": create_statements("sqlite"), "postgresql": create_statements("postgresql")})


def _parameter(name: str, dialect: Dialect) -> str:
    # ->> would do on both, but SQLite has it only since 3.38.
    return (
        f"json_extract(j.parameters, '$.{name}')" if dialect == "sqlite" else f"(j.parameters ->> '{name}')"
    )


def _metadata(members: tuple[str, ...], dialect: Dialect) -> str:
    member = "json_extract(d.metadata, '$.{}')" if dialect == "sqlite" else "(d.metadata ->> '{}')"
    return f"CAST(COALESCE({', '.join(member.format(name) for name in members)}) AS TEXT)"


def _attribute(kind: str) -> str:
    # `kind` is one of four constants.
    return f"""(SELECT a.text FROM entity_attributes a WHERE a.job_id = e.job_id
     AND a.entity_position = e.position AND a.kind = '{kind}' ORDER BY a.position LIMIT 1) AS {kind}"""  # noqa: S608
