"""Full-text indexes over stored summaries and passages: FTS5 on SQLite, tsvector on PostgreSQL.

SQLite's index holds the positions of words and no text; triggers add new rows and remove deleted ones.
"""

from __future__ import annotations

PASSAGES_A_JOB = 100_000
"""A passage's number in the index of SQLite is its job's times this, plus its position."""
_KEYS = {"passages": f"{{row}}.job_id * {PASSAGES_A_JOB} + {{row}}.position", "summaries": "{row}.job_id"}
_WORDS = {"passages": "passage_words", "summaries": "summary_words"}
_STEMS = "tokenize = 'porter unicode61'"

# The pieces put into these statements are constants of this file.
# ruff: noqa: S608


def create_statements(dialect: str) -> list[str]:
    """Statements that create the index over stored texts, and the triggers that keep it current."""
    statements: list[str] = []
    for table, words in _WORDS.items():
        if dialect == "postgresql":
            statements.append(
                f"CREATE INDEX ix_{table}_words ON {table} USING gin (to_tsvector('english', text))"
            )
            continue
        new, old, stored = (_KEYS[table].format(row=row) for row in ("new", "old", table))
        statements += [
            f"CREATE VIRTUAL TABLE {words} USING fts5(text, content = '', {_STEMS})",
            f"INSERT INTO {words} (rowid, text) SELECT {stored}, text FROM {table}",
            f"CREATE TRIGGER {words}_new AFTER INSERT ON {table} BEGIN"
            f" INSERT INTO {words} (rowid, text) VALUES ({new}, new.text); END",
            f"CREATE TRIGGER {words}_gone AFTER DELETE ON {table} BEGIN"
            f" INSERT INTO {words} ({words}, rowid, text) VALUES ('delete', {old}, old.text); END",
        ]
    return statements


def drop_statements(dialect: str) -> list[str]:
    if dialect == "postgresql":
        return [f"DROP INDEX ix_{table}_words" for table in _WORDS]
    triggers = [f"DROP TRIGGER {words}_{when}" for words in _WORDS.values() for when in ("new", "gone")]
    return [*triggers, *(f"DROP TABLE {words}" for words in _WORDS.values())]
