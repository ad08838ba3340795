"""Full-text search finds words in stored summaries and passages on both databases."""

from __future__ import annotations

import pytest
from making import QUESTIONS, SEARCH, a_serving, claimed, documents, finished, record, submit, work_off
from sqlalchemy import Engine, text

from models.errors import UsageError
from models.migrations import schema_version
from models.queries.queries import Queries
from models.schema.database import read_transaction, write_transaction
from models.store.store import Store


@pytest.fixture
def stored(store: Store, queries: Queries) -> Queries:
    """Passages `Pains` and `Fever's`, and two summaries `A note / Short.`"""
    submit(store, documents("Pains in the arm.", "Fever's gone."), QUESTIONS)
    for document_id in (1, 2):
        work_off(store, document_id)
    return queries


def test_words_are_found_by_their_stems(stored: Queries) -> None:
    (match,) = stored.find("pain", limit=10)
    assert (match.external_id, match.kind, match.query, match.text) == (
        *("note-0", "passage", "Is there pain?", "Pains"),
    )


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("note short", 2),
        ('"short note"', 0),
        ('"a note"', 2),
        ("note -short", 0),
        ("short fever", 0),
        ("fever", 1),
    ],
)
def test_terms_have_the_syntax_of_web_search_engines(stored: Queries, words: str, count: int) -> None:
    assert len(stored.find(words, limit=10)) == count


@pytest.mark.parametrize("words", ["pain'; DROP", "pain*", '"pain', "pain: (", "pain & | !", "AND pain OR"])
def test_no_special_character_is_an_error_or_an_operator(stored: Queries, words: str) -> None:
    assert len(stored.find(words, limit=10)) <= 1


@pytest.mark.parametrize("words", ["", " ", "-fever", "!!"])
def test_a_search_without_a_word_is_a_usage_error(stored: Queries, words: str) -> None:
    with pytest.raises(UsageError, match="no word"):
        stored.find(words, limit=10)


def test_an_older_answer_is_not_found(store: Store, stored: Queries) -> None:
    serving = a_serving(search="new words")
    submit(store, documents("Pains in the arm."), [SEARCH], serving)
    (job,) = claimed(store, 1, serving_id=serving.id).jobs
    assert len(stored.find("pain", limit=10)) == 1
    record(store, job, finished(job, "Pains in the arm."))
    assert len(stored.find("pain", limit=10)) == 1


def test_deleted_text_leaves_the_index(stored: Queries, engine: Engine) -> None:
    with write_transaction(engine) as connection:
        connection.execute(text("DELETE FROM texts"))
    assert stored.find("pain", limit=10) == []
    if engine.dialect.name == "sqlite":
        with read_transaction(engine) as connection:
            asked = "SELECT COUNT(*) FROM passage_words WHERE passage_words MATCH 'pain'"
            assert connection.scalars(text(asked)).one() == 0


def test_text_stored_before_the_index_is_in_it(stored: Queries, engine: Engine) -> None:
    from models.schema import full_text_search

    with write_transaction(engine) as connection:
        for make in (full_text_search.drop_statements, full_text_search.create_statements):
            for statement in make(engine.dialect.name):
                connection.exec_driver_sql(statement)
    assert len(stored.find("pain", limit=10)) == 1


def test_one_search_covers_summaries_and_passages(store: Store, queries: Queries) -> None:
    submit(store, documents("Short of breath."), QUESTIONS)
    work_off(store, 1)
    matches = queries.find("shorts", limit=10)
    assert sorted((match.kind, match.text) for match in matches) == [
        ("passage", "Short"),
        ("summary", "A note\nShort."),
    ]


@pytest.mark.parametrize("table", ["passages", "summaries"])
def test_the_full_text_index_is_used(stored: Queries, engine: Engine, table: str) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("MATCH has no other way on SQLite")
    asked = f"EXPLAIN SELECT 1 FROM {table} WHERE to_tsvector('english', text) @@ to_tsquery('pain')"
    with read_transaction(engine) as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(connection.scalars(text(asked)))
    assert f"ix_{table}_words" in plan


def test_a_downgrade_drops_the_index(stored: Queries, engine: Engine) -> None:
    schema_version.downgrade(engine)
    with read_transaction(engine) as connection:
        names = connection.dialect.get_table_names(connection)
    assert names == [schema_version.VERSION_TABLE]
