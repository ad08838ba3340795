"""Full-text search over stored summaries and passages: FTS5 on SQLite, tsvector on PostgreSQL, one function.

The index on SQLite holds no text, only where words stand; triggers keep it, and what is forgotten leaves it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Engine, text

from models.errors import UsageError
from models.schema.database import reading
from models.schema.encrypted_columns import ATTRIBUTE

PASSAGES_A_JOB = 100_000
"""A passage's number in the index of SQLite is its job's times this, plus its position."""
_KEYS = {"passages": f"{{row}}.job_id * {PASSAGES_A_JOB} + {{row}}.position", "summaries": "{row}.job_id"}
_WORDS = {"passages": "passage_words", "summaries": "summary_words"}
_STEMS = "tokenize = 'porter unicode61'"
_TERM = re.compile(r'(-?)(?:"([^"]*)"|([^\s"]+))')

# The pieces put into these statements are constants of this file.
# ruff: noqa: S608


@dataclass(frozen=True, slots=True)
class Found:
    """One place in which the words stand."""

    document_id: int
    external_id: str
    kind: Literal["passage", "summary"]
    query: str | None
    """Of a passage: what was asked."""
    text: str
    rank: float
    """Higher is better; comparable within one answer only."""


def find(engine: Engine, words: str, limit: int) -> list[Found]:
    """Of the newest answers, the best first. Terms as in the search engines: `chest "no pain" -fever`.

    Raises UsageError where no word is asked for, and where the database's text is encrypted.
    """
    if getattr(engine.dialect, ATTRIBUTE, None) is not None:
        raise UsageError(
            "the text in this database is encrypted, so its words are in no index to look them up"
        )
    is_sqlite = engine.dialect.name == "sqlite"
    asked = _for_sqlite(words) if is_sqlite else _for_postgresql(words)
    statement = _ON_SQLITE if is_sqlite else _ON_POSTGRESQL
    with reading(engine) as connection:
        rows = connection.execute(text(statement), {"asked": asked, "limit": limit})
        return [Found(**row) for row in rows.mappings()]


def create_statements(dialect: str) -> list[str]:
    """The index over what is stored already, and what keeps it."""
    made: list[str] = []
    for table, words in _WORDS.items():
        if dialect == "postgresql":
            made.append(f"CREATE INDEX ix_{table}_words ON {table} USING gin (to_tsvector('english', text))")
            continue
        new, old, there = (_KEYS[table].format(row=row) for row in ("new", "old", table))
        made += [
            f"CREATE VIRTUAL TABLE {words} USING fts5(text, content = '', {_STEMS})",
            f"INSERT INTO {words} (rowid, text) SELECT {there}, text FROM {table}",
            f"CREATE TRIGGER {words}_new AFTER INSERT ON {table} BEGIN"
            f" INSERT INTO {words} (rowid, text) VALUES ({new}, new.text); END",
            f"CREATE TRIGGER {words}_gone AFTER DELETE ON {table} BEGIN"
            f" INSERT INTO {words} ({words}, rowid, text) VALUES ('delete', {old}, old.text); END",
        ]
    return made


def drop_statements(dialect: str) -> list[str]:
    if dialect == "postgresql":
        return [f"DROP INDEX ix_{table}_words" for table in _WORDS]
    triggers = [f"DROP TRIGGER {words}_{when}" for words in _WORDS.values() for when in ("new", "gone")]
    return [*triggers, *(f"DROP TABLE {words}" for words in _WORDS.values())]


_PASSAGE = "p.document_id, p.external_id, 'passage' AS kind, p.query AS query, p.text"
_SUMMARY = "s.document_id, s.external_id, 'summary' AS kind, NULL AS query, s.text"
_BEST = "ORDER BY rank DESC, document_id LIMIT :limit"
_ON_SQLITE = f"""
SELECT {_PASSAGE}, -w.rank AS rank
FROM (SELECT rowid AS number, rank FROM passage_words WHERE passage_words MATCH :asked) w
JOIN v_passages p ON p.job_id = w.number / {PASSAGES_A_JOB} AND p.position = w.number % {PASSAGES_A_JOB}
WHERE p.is_newest
UNION ALL
SELECT {_SUMMARY}, -w.rank
FROM (SELECT rowid AS number, rank FROM summary_words WHERE summary_words MATCH :asked) w
JOIN v_summaries s ON s.job_id = w.number
WHERE s.is_newest
{_BEST}"""
_ON_POSTGRESQL = f"""
SELECT {_PASSAGE}, ts_rank(to_tsvector('english', p.text), websearch_to_tsquery('english', :asked)) AS rank
FROM v_passages p
WHERE p.is_newest AND to_tsvector('english', p.text) @@ websearch_to_tsquery('english', :asked)
UNION ALL
SELECT {_SUMMARY}, ts_rank(to_tsvector('english', s.text), websearch_to_tsquery('english', :asked))
FROM v_summaries s
WHERE s.is_newest AND to_tsvector('english', s.text) @@ websearch_to_tsquery('english', :asked)
{_BEST}"""


def _terms(words: str) -> tuple[list[str], list[str]]:
    """Wanted and unwanted, without the characters that mean something to one database only."""
    wanted: list[str] = []
    unwanted: list[str] = []
    for minus, phrase, word in _TERM.findall(words):
        term = " ".join(re.findall(r"\w+", phrase or word))
        if term:
            (unwanted if minus else wanted).append(term)
    if not wanted:
        raise UsageError("there is no word to look for. For example: notemill find 'chest pain -fever'")
    return wanted, unwanted


def _for_sqlite(words: str) -> str:
    wanted, unwanted = _terms(words)
    return " AND ".join(f'"{term}"' for term in wanted) + "".join(f' NOT "{term}"' for term in unwanted)


def _for_postgresql(words: str) -> str:
    wanted, unwanted = _terms(words)
    return " ".join([*(f'"{term}"' for term in wanted), *(f'-"{term}"' for term in unwanted)])
