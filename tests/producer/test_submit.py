"""One submission end to end without a worker: files become rows in SQL and ids in Redis."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from pydantic import SecretStr

import producer
from models.answers import Task
from models.documents import Document
from models.errors import UsageError
from models.jobs import Serving
from models.labels import Label
from models.messages import QUEUE_NAME
from models.queries.queries import Queries
from models.schema.database import DatabaseError
from models.settings import Settings
from models.store.store import Store
from producer.submission import record_registration, redis_publisher
from producer.submission.questions import questions_for
from producer.submission.redis_publisher import QueueError, queue_length

if TYPE_CHECKING:
    from redis_server import RedisServer

pytest_plugins = ("redis_server",)

SERVING = Serving(
    ingredients={"weights": "tiny", "tasks": {task.value: {"prompt": task.value} for task in Task}}
)
Submit = Callable[..., producer.Submitted]
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""For tests that do not depend on the database: creating one on PostgreSQL takes half a second."""


@pytest.fixture
def settings(tmp_path: Path, store_url: str, redis_url: str) -> Settings:
    return Settings(home=tmp_path / "home", database_url=SecretStr(store_url), redis_url=SecretStr(redis_url))


@pytest.fixture
def submit(settings: Settings, store: Store) -> Submit:
    store.announce(SERVING)
    return lambda given, **options: producer.submit(given, **{"settings": settings, **options})


def notes(*texts: str) -> list[Document]:
    return [Document(external_id=f"n{number}", text=text) for number, text in enumerate(texts, start=1)]


def rejects(submitted: producer.Submitted) -> list[dict[str, Any]]:
    assert submitted.rejects_path is not None
    return [json.loads(line) for line in submitted.rejects_path.read_text().splitlines()]


def test_documents_are_registered_and_enqueued(submit: Submit, queries: Queries, settings: Settings) -> None:
    submitted = submit(notes("one", "two"), tasks=["entities", "summary"], searches=["fever", "pain"])
    assert submitted == producer.Submitted(
        run_id=1,
        documents=2,
        refused=0,
        refused_by_reason={},
        new_jobs=8,
        known_jobs=0,
        owed_documents=2,
        rejects_path=None,
    )
    progress = queries.run_progress(1)
    assert (progress.is_closed, progress.documents, progress.pending) == (True, 2, 8)
    assert queue_length(settings.redis_url.get_secret_value()).waiting == 2


def test_a_repeated_submission_creates_no_new_job(submit: Submit) -> None:
    submit(notes("one", "two"))
    again = submit(notes("one", "two"))
    assert (again.run_id, again.documents, again.new_jobs, again.known_jobs) == (2, 2, 0, 4)


def test_files_are_submitted_by_their_paths(submit: Submit, queries: Queries, tmp_path: Path) -> None:
    (tmp_path / "n.jsonl").write_text('{"note_id": "a", "text": "A\\r\\n", "ward": 3}\n')
    submit(str(tmp_path / "n.jsonl"))
    stored = queries.document("a")
    assert stored is not None
    assert (stored.text, stored.source, stored.metadata) == ("A\r\n", str(tmp_path / "n.jsonl"), {"ward": 3})


@on_sqlite
def test_bad_records_are_counted_and_listed_without_their_text(submit: Submit, tmp_path: Path) -> None:
    lines = [
        '{"id": 1, "text": "ok"}',
        '{"id": 2, "text": "canary\\u0000"}',
        "{oops",
        '{"id": 1, "text": "canary"}',
    ]
    (tmp_path / "n.jsonl").write_text("\n".join(lines))
    submitted = submit(tmp_path / "n.jsonl")
    assert (submitted.documents, submitted.refused) == (1, 3)
    assert [
        (rejected["line"], rejected["external_id"], rejected["reason"]) for rejected in rejects(submitted)
    ] == [
        (2, "2", "a NUL character"),
        (3, None, "malformed JSON"),
        (4, "1", "duplicate id with other text"),
    ]
    assert "canary" not in str(rejects(submitted))


def test_a_duplicate_is_refused_in_a_later_batch_too(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_registration, "BATCH_DOCUMENTS", 2)
    given = [*notes("one", "two"), *notes("one", "other")]
    submitted = submit(given)
    assert (submitted.documents, submitted.refused, submitted.new_jobs) == (2, 1, 4)


@on_sqlite
def test_the_rejects_file_is_written_to_the_given_path_and_only_if_needed(
    submit: Submit, tmp_path: Path
) -> None:
    (tmp_path / "bad.txt").touch()
    assert (
        submit(tmp_path / "bad.txt", rejects=tmp_path / "r" / "bad.jsonl").rejects_path
        == tmp_path / "r/bad.jsonl"
    )
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["bad.jsonl"]
    assert (tmp_path / "r" / "bad.jsonl").stat().st_mode & 0o777 == 0o600
    assert submit(notes("fine"), rejects=tmp_path / "none.jsonl").rejects_path is None
    assert not (tmp_path / "none.jsonl").exists()


@on_sqlite
def test_rejects_written_before_a_failure_are_kept(submit: Submit, tmp_path: Path) -> None:
    def breaking() -> Iterator[Document | producer.Refused]:
        yield from [producer.Refused(source="s", reason="no text")] * 600
        raise RuntimeError

    with pytest.raises(RuntimeError):
        submit(breaking(), rejects=tmp_path / "r.jsonl")
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 500


@on_sqlite
def test_a_rejects_file_that_cannot_be_made_is_a_usage_error(submit: Submit, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write the rejects file"):
        submit([producer.Refused(source="s", reason="no text")], rejects=tmp_path / "file" / "r.jsonl")


def test_metadata_of_documents_from_a_program_becomes_json_or_they_are_refused(
    submit: Submit, queries: Queries
) -> None:
    good = Document(external_id="good", text="a", metadata={"day": date(2024, 5, 7)})
    bad = [Document(external_id="x\x00", text="a"), Document(external_id="y", text="a", metadata={"b": b"1"})]
    assert submit([good, *bad]).refused == 2
    stored = queries.document("good")
    assert stored is not None
    assert stored.metadata == {"day": "2024-05-07"}


@on_sqlite
def test_an_empty_submission_is_a_closed_run_without_documents(submit: Submit, queries: Queries) -> None:
    assert submit(iter(())).documents == 0
    assert queries.run_progress(1).is_closed


@on_sqlite
def test_progress_is_reported_after_each_batch(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_registration, "BATCH_DOCUMENTS", 2)
    reports: list[producer.Progress] = []
    submit(notes("a", "b", "c", "d", "e"), tasks="summary", on_progress=reports.append)
    assert [(progress.run_id, progress.documents, progress.new_jobs) for progress in reports] == [
        (1, 2, 2),
        (1, 4, 4),
        (1, 5, 5),
    ]


@on_sqlite
def test_a_batch_ends_at_its_character_limit(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_registration, "BATCH_CHARACTERS", 10)
    reports: list[producer.Progress] = []
    submit(notes("a" * 11, "b" * 6, "c" * 6, "d"), on_progress=reports.append)
    assert [progress.documents for progress in reports] == [1, 3, 4]


def test_a_stream_is_read_while_it_is_registered(submit: Submit, queries: Queries) -> None:
    seen: list[int] = []

    def stream() -> Iterator[Document]:
        for number in range(1_200):
            if number % 400 == 399:
                seen.append(queries.counts()["documents"])
            yield Document(external_id=str(number), text=f"note {number}")

    assert submit(stream()).documents == 1_200
    assert seen == [0, 500, 1_000]


@on_sqlite
def test_a_message_is_sent_only_when_its_document_is_committed(
    submit: Submit, queries: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, committed = redis_publisher.RedisPublisher.send, []

    def checked(
        self: redis_publisher.RedisPublisher, document_ids: tuple[int, ...], *, is_urgent: bool
    ) -> None:
        committed.extend(queries.document(f"#{number}") is not None for number in document_ids)
        send(self, document_ids, is_urgent=is_urgent)

    monkeypatch.setattr(redis_publisher.RedisPublisher, "send", checked)
    submit(notes("a", "b", "c"))
    assert committed == [True, True, True]


@on_sqlite
def test_a_recently_enqueued_document_is_not_owed_to_the_sweep(submit: Submit, queries: Queries) -> None:
    submit(notes("a"), enqueue=False)
    assert len(queries.owed_documents(older_than_seconds=5, limit=9)) == 1
    submit(notes("a"))
    assert queries.owed_documents(older_than_seconds=5, limit=9) == []


@on_sqlite
def test_without_a_redis_url_everything_is_registered_for_the_sweep(
    submit: Submit, settings: Settings, queries: Queries
) -> None:
    alone = settings.model_copy(update={"redis_url": SecretStr("")})
    assert submit(notes("a", "b"), settings=alone).owed_documents == 2
    assert len(queries.owed_documents(older_than_seconds=5, limit=9)) == 2


@on_sqlite
def test_a_redis_that_is_down_stops_a_submission_before_it_begins(
    submit: Submit, settings: Settings, queries: Queries
) -> None:
    down = settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    with pytest.raises(QueueError, match="notemill doctor"):
        submit(notes("a"), settings=down)
    assert queries.latest_run_id() is None


def test_a_redis_that_dies_during_a_submission_loses_no_document(
    submit: Submit,
    settings: Settings,
    queries: Queries,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(record_registration, "BATCH_DOCUMENTS", 2)
    monkeypatch.setattr(redis_publisher, "SECONDS_BETWEEN_ATTEMPTS", 0.01)
    dying = settings.model_copy(update={"redis_url": SecretStr(redis_server.url)})
    with pytest.raises(producer.NotEnqueuedError, match="Nothing is lost") as raised:
        submit(
            notes("a", "b", "c", "d", "e"), settings=dying, on_progress=lambda _progress: redis_server.stop()
        )
    assert raised.value.submitted.documents == 5
    assert queries.run_progress(raised.value.submitted.run_id).is_closed
    assert len(queries.owed_documents(older_than_seconds=5, limit=9)) >= 3


@on_sqlite
def test_no_text_is_in_redis_or_in_the_log(
    submit: Submit, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    submit([Document(external_id="id-CANARY", text="CANARY", source="CANARY")], searches=["CANARY"])
    client = redis.Redis(
        unix_socket_path=settings.redis_url.get_secret_value().removeprefix("redis+socket://")
    )
    kept = str([client.lrange(key, 0, -1) for key in client.keys("*")])
    assert QUEUE_NAME in kept
    assert "CANARY" not in kept + caplog.text


@on_sqlite
def test_the_labels_asked_for_are_in_the_recipe(submit: Submit, tmp_path: Path) -> None:
    (tmp_path / "labels.toml").write_text('[device]\ndefinition = "An implant."\n')
    label = Label(name="device", definition="An implant.")
    built_in = submit(notes("a"), tasks=["entities"])
    own = [
        submit(notes("a"), tasks=["entities"], labels=given) for given in [tmp_path / "labels.toml", [label]]
    ]
    assert [submitted.new_jobs for submitted in [built_in, *own]] == [1, 1, 0]


@on_sqlite
def test_another_serving_creates_new_jobs(submit: Submit) -> None:
    other = Serving(ingredients={**SERVING.ingredients, "weights": "other"})
    submit(notes("a"), tasks=["summary"])
    assert submit(notes("a"), tasks=["summary"], serving=other).new_jobs == 1


@on_sqlite
def test_without_a_serving_the_error_says_to_start_a_worker(settings: Settings, queries: Queries) -> None:
    with pytest.raises(UsageError, match="start one with `notemill worker`"):
        producer.submit(notes("a"), settings=settings)
    assert queries.latest_run_id() is None


@on_sqlite
def test_a_database_without_tables_is_an_error_that_says_what_to_type(
    settings: Settings, tmp_path: Path
) -> None:
    empty = settings.model_copy(update={"database_url": SecretStr(f"sqlite:///{tmp_path}/empty.db")})
    with pytest.raises(DatabaseError, match="notemill db upgrade"):
        producer.submit(notes("a"), settings=empty)


@on_sqlite
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"tasks": ["summarise"]}, "there is no task 'summarise'"),
        ({"tasks": []}, "nothing is asked"),
        ({"tasks": ["search"]}, "a search needs a query"),
        ({"searches": [" "]}, "a search needs a query"),
        ({"summary_words": 5}, "20 to 2000 words"),
        ({"text_column": "note"}, "no column 'note'"),
    ],
)
def test_a_wrong_call_registers_nothing(
    submit: Submit, queries: Queries, tmp_path: Path, asked: dict[str, Any], message: str
) -> None:
    (tmp_path / "n.csv").write_text("id,text\n1,a\n")
    with pytest.raises(UsageError, match=message):
        submit(tmp_path / "n.csv", **asked)
    assert queries.latest_run_id() is None


def test_each_query_is_a_separate_question_and_implies_the_search_task() -> None:
    asked = questions_for(["summary", "summary"], ["fever", "pain", "fever "], summary_words=80)
    assert [(question.task, question.parameters) for question in asked] == [
        (Task.SUMMARY, {"max_words": 80}),
        (Task.SEARCH, {"query": "fever"}),
        (Task.SEARCH, {"query": "pain"}),
    ]
    assert questions_for("search", "fever", summary_words=80)[0].parameters == {"query": "fever"}
