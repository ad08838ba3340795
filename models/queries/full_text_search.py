"""Full-text search over stored summaries and passages. `models.schema.full_text_search` keeps the indexes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Engine, text

from models.errors import UsageError
from models.schema.database import read_transaction
from models.schema.encrypted_columns import KEYRING_ATTRIBUTE
from models.schema.full_text_search import PASSAGES_A_JOB

# Only constants of this file are put into these statements.
# ruff: noqa: S608

_TERM = re.compile(r'(-?)(?:"([^"]*)"|([^\s"]+))')


@dataclass(frozen=True, slots=True)
class TextMatch:
    """A passage or summary that contains the words."""

    document_id: int
    external_id: str
    kind: Literal["passage", "summary"]
    query: str | None
    """The query that the passage answers; None for a summary."""
    text: str
    rank: float
    """Higher is better; comparable within one answer only."""


class FullTextQueries:
    """Finds words in stored answers; part of `Queries`."""

    _engine: Engine

    def find(self, words: str, *, limit: int) -> list[TextMatch]:
        """The newest summaries and passages that contain all of these words, the best first. Syntax as in web
        search engines: `chest "no pain" -fever`.

        Raises UsageError where `words` has no word, and where the database's text is encrypted.
        """
        if getattr(self._engine.dialect, KEYRING_ATTRIBUTE, None) is not None:
            raise UsageError(
                "the text in this database is encrypted, so its words are in no index to look them up"
            )
        is_sqlite = self._engine.dialect.name == "sqlite"
        search_expression = _for_sqlite(words) if is_sqlite else _for_postgresql(words)
        statement = _ON_SQLITE if is_sqlite else _ON_POSTGRESQL
        with read_transaction(self._engine) as connection:
            rows = connection.execute(text(statement), {"asked": search_expression, "limit": limit})
            return [TextMatch(**row) for row in rows.mappings()]


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
