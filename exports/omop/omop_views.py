"""Typed views over `note_nlp`: the parts of `term_modifiers` as columns. Pure SQL text."""

from __future__ import annotations

from typing import Literal

Dialect = Literal["sqlite", "postgresql"]
_KINDS = ("dosage", "frequency", "route", "value")
NAMES = ("note_nlp_typed", "note_nlp_problems", "note_nlp_medications")

# The pieces put into these statements are constants of this file.
# ruff: noqa: S608


def statements(dialect: Dialect) -> list[str]:
    """SQL that drops and creates the views. A missing modifier is null; of equal names the first is used."""
    columns = {kind: _modifier(kind, dialect) for kind in ("label", "assertion", *_KINDS)}
    named = ",\n  ".join(f"{sql} AS {name}" for name, sql in columns.items())
    number = "DOUBLE PRECISION" if dialect == "postgresql" else "REAL"
    typed = f"""CREATE VIEW note_nlp_typed AS
SELECT note_nlp_id, note_id, CAST("offset" AS INTEGER) AS span_start,
  CAST({_modifier("end", dialect)} AS INTEGER) AS span_end, lexical_variant AS text,
  {named},
  CAST({_modifier("probability", dialect)} AS {number}) AS probability,
  term_exists = 'Y' AS is_of_patient, term_temporal = 'Past' AS is_past,
  note_nlp_concept_id, nlp_system, nlp_datetime
FROM note_nlp
WHERE nlp_system LIKE 'notemill %'"""
    problems = """CREATE VIEW note_nlp_problems AS
SELECT note_nlp_id, note_id, span_start, span_end, text, assertion, is_of_patient, is_past,
  note_nlp_concept_id
FROM note_nlp_typed WHERE label = 'problem'"""
    medications = f"""CREATE VIEW note_nlp_medications AS
SELECT note_nlp_id, note_id, span_start, span_end, text, {", ".join(_KINDS[:3])}, assertion,
  is_of_patient, is_past, note_nlp_concept_id
FROM note_nlp_typed WHERE label = 'medication'"""
    drops = [f"DROP VIEW IF EXISTS {name}" for name in reversed(NAMES)]
    return [*drops, typed, problems, medications]


def _modifier(name: str, dialect: Dialect) -> str:
    if dialect == "postgresql":
        return f"substring(term_modifiers FROM '(?:^|;){name}=([^;]*)')"
    rest = f"substr(term_modifiers || ';', instr(';' || term_modifiers, ';{name}=') + {len(name) + 1})"
    is_there = f"instr(';' || term_modifiers, ';{name}=') > 0"
    return f"CASE WHEN {is_there} THEN substr({rest}, 1, instr({rest}, ';') - 1) END"
