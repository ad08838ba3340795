"""One document through a worker's hands: what is recorded when all goes well, and when it does not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
from making import SEARCH, documents
from sqlalchemy import Engine, text
from stand_in.answering import StandIn
from workshop import until

from models.answers import Task
from models.jobs import Question, Serving, recipe_for
from models.queries.patient_names import names_of
from models.queries.queries import Queries
from models.schema.database import DatabaseUnavailableError, reading
from models.settings import Settings
from models.store.store import Store
from worker.queue.document_task import process_document
from worker.queue.shutdown import ShutdownRequest
from worker.queue.worker_context import InFlightDocuments, WorkerContext
from worker.recipe import serving
from worker.telemetry.usage_accounting import UsageAccounting
from worker.telemetry.usage_meter import UsageMeter

PAIN, FEVER = SEARCH, Question(task=Task.SEARCH, parameters={"query": "Is there fever?"})


@pytest.fixture
def workplace(tmp_path: Path, store: Store) -> Iterator[WorkerContext]:
    (tmp_path / "config.json").write_text("{}")
    settings = Settings(weights=str(tmp_path), adapter="none")
    served, stand_in = serving(settings), StandIn(tmp_path)
    store.announce(served)
    meter = UsageMeter()
    yield WorkerContext(
        "host:1:2",
        settings,
        served,
        stand_in,
        store,
        ShutdownRequest(),
        give_up=lambda: None,
        meter=meter,
        accounts=UsageAccounting(meter, store),
    )
    stand_in.close()


def with_settings(workplace: WorkerContext, **changes: object) -> WorkerContext:
    return replace(workplace, settings=workplace.settings.model_copy(update=changes))


def submit(workplace: WorkerContext, *notes: str) -> tuple[int, ...]:
    recipe = recipe_for(Task.SEARCH, workplace.serving, ())
    run_id = workplace.store.open_run(questions=[PAIN, FEVER], recipes=[recipe], sources=[])
    batch = documents(*notes)
    return workplace.store.register(run_id, batch, [PAIN, FEVER], {Task.SEARCH: recipe}).owed_document_ids


def jobs(engine: Engine, columns: str = "status") -> list[tuple[object, ...]]:
    with reading(engine) as connection:
        return [tuple(row) for row in connection.execute(text(f"SELECT {columns} FROM jobs ORDER BY id"))]


def end_the_wait(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET lease_until_epoch = 0 WHERE status = 'pending'"))


def test_every_job_owed_on_the_document_is_answered(workplace: WorkerContext, engine: Engine) -> None:
    (document_id,) = submit(workplace, "No fever. Mild pain.")
    process_document(document_id, workplace)
    assert jobs(engine) == [("finished",)] * 2
    assert workplace.hands.are_empty


def test_under_a_disguise_the_engine_does_not_hear_what_the_metadata_calls_the_patient(
    workplace: WorkerContext, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (document_id,) = submit(workplace, "Quillfeather has no fever.")
    with engine.begin() as connection:
        connection.execute(text("""UPDATE documents SET metadata = '{"patient_name": "Quillfeather"}'"""))
    heard, answer = [], StandIn.answer
    monkeypatch.setattr(
        StandIn, "answer", lambda self, asked, **_: heard.extend(asked) or answer(self, asked)
    )
    disguising = replace(workplace, names_of=partial(names_of, engine))
    object.__setattr__(disguising, "config", replace(workplace.config, is_deidentified=True))
    process_document(document_id, disguising)
    assert jobs(engine) == [("finished",)] * 2
    assert "has no fever" in str(heard)
    assert "Quillfeather" not in str(heard)
    assert jobs(engine, "(SELECT text FROM texts)")[0] == ("Quillfeather has no fever.",)


def test_what_another_serving_owes_is_left_alone(workplace: WorkerContext, engine: Engine) -> None:
    (document_id,) = submit(workplace, "No fever.")
    tasks = {task.value: {"prompt": "another"} for task in Task}
    process_document(document_id, replace(workplace, serving=Serving(ingredients={"tasks": tasks})))
    assert jobs(engine) == [("pending",)] * 2


def test_a_surprise_is_tried_again_later_and_fails_after_the_last_attempt(
    workplace: WorkerContext, engine: Engine
) -> None:
    (document_id,) = submit(workplace, "Such notes CRASH.")
    for number, status in enumerate(["pending", "pending", "failed"]):
        process_document(document_id, workplace, is_alone=number > 0)
        assert jobs(engine) == [(status,)] * 2
        end_the_wait(engine)
    assert jobs(engine, "attempts, reason, detail") == [(3, "crashed", "ValueError")] * 2


def test_memory_that_others_may_have_taken_is_asked_for_again(workplace: WorkerContext, engine: Engine) -> None:
    (document_id,) = submit(workplace, "Such notes find no MEMORY.")
    for number, status in enumerate(["pending", "pending", "failed"]):
        process_document(document_id, workplace, is_alone=number > 0)
        assert jobs(engine) == [(status,)] * 2
        end_the_wait(engine)
    assert jobs(engine, "attempts, reason") == [(3, "out_of_memory")] * 2


def test_before_its_next_attempt_a_job_waits(workplace: WorkerContext, engine: Engine) -> None:
    (document_id,) = submit(workplace, "Such notes CRASH.")
    process_document(document_id, workplace)
    process_document(document_id, workplace)
    assert jobs(engine, "attempts") == [(1,)] * 2
    assert Queries(engine).owed_documents(older_than_seconds=0, limit=9) == []


def test_a_surprise_is_logged_by_type_and_place_alone(
    workplace: WorkerContext, caplog: pytest.LogCaptureFixture
) -> None:
    (document_id,) = submit(workplace, "Such notes CRASH with a TOKEN.")
    with caplog.at_level(logging.DEBUG):
        process_document(document_id, workplace)
    assert "ValueError at " in caplog.text
    assert "answering.py" in caplog.text
    assert "TOKEN" not in caplog.text


def test_after_a_first_attempt_each_job_runs_alone(workplace: WorkerContext, engine: Engine) -> None:
    (document_id,) = submit(workplace, "No fever.")
    store, settings = workplace.store, workplace.settings
    (work,) = store.claim(
        [document_id], worker="w", serving_id=workplace.serving.id, lease_seconds=9, max_kills=3
    )
    assert work is not None
    store.release(work.jobs, detail="", max_attempts=settings.max_attempts)
    end_the_wait(engine)
    process_document(document_id, workplace)
    assert jobs(engine) == [("pending",)] * 2
    process_document(document_id, workplace, is_alone=True)
    asked = (workplace.engine.folder / "answered").read_text().splitlines()  # type: ignore[attr-defined]
    assert [line.split()[1] for line in asked] == ["1", "1"]


def test_a_document_over_its_time_is_failed_with_the_limit(workplace: WorkerContext, engine: Engine) -> None:
    (document_id,) = submit(workplace, "Such notes HANG.")
    process_document(document_id, with_settings(workplace, time_limit_seconds=0.2))
    assert jobs(engine, "status, reason, detail") == [("failed", "timed_out", "limit 0.2 s")] * 2


def test_a_worker_that_was_asked_to_stop_begins_no_document(workplace: WorkerContext, engine: Engine) -> None:
    (document_id,) = submit(workplace, "No fever.")
    workplace.stopping.ask()
    process_document(document_id, workplace)
    assert jobs(engine, "status, attempts") == [("pending", 0)] * 2


def test_a_hurried_worker_lets_go_and_gives_back(workplace: WorkerContext, engine: Engine) -> None:
    (document_id,) = submit(workplace, "Such notes HANG.")
    thread = Thread(target=process_document, args=(document_id, workplace))
    thread.start()
    until(lambda: jobs(engine) == [("running",)] * 2)
    workplace.stopping.hurry()
    thread.join(10)
    assert workplace.hands.are_empty
    assert workplace.store.give_back(workplace.name) == 2


def test_an_answer_that_comes_after_another_claim_is_not_written(
    workplace: WorkerContext, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    (document_id,) = submit(workplace, "No fever.")

    class Overtaken(StandIn):
        def answer(self, requests, *, is_urgent=False):  # type: ignore[no-untyped-def]
            workplace.store.abandon(workplace.name)
            other = replace(workplace, name="host:3:4", hands=InFlightDocuments())
            process_document(document_id, other, is_alone=True)
            return super().answer(requests, is_urgent=is_urgent)

    process_document(document_id, replace(workplace, engine=Overtaken(workplace.settings.home_folder.parent)))
    assert jobs(engine, "status, attempts") == [("finished", 2)] * 2
    assert caplog.text.count("came too late") == 2


def test_a_broken_engine_fails_no_job_and_ends_the_worker(workplace: WorkerContext, engine: Engine) -> None:
    gave_up: list[bool] = []
    broken = replace(workplace, give_up=lambda: gave_up.append(True))
    ids = submit(workplace, *(f"Such notes find it BROKEN {number}." for number in range(20)))
    for document_id in ids:
        assert not gave_up
        process_document(document_id, broken)
    assert gave_up == [True]
    assert set(jobs(engine)) == {("pending",)}


def test_a_finished_job_between_surprises_shows_that_the_engine_works(workplace: WorkerContext) -> None:
    gave_up: list[bool] = []
    lucky = replace(workplace, give_up=lambda: gave_up.append(True))
    notes = (f"Such notes find it BROKEN {number}." for number in range(19))
    for document_id in submit(workplace, *notes, "No fever.", "Another CRASH."):
        process_document(document_id, lucky)
    assert not gave_up


def test_an_answer_waits_for_a_database_that_is_away(
    workplace: WorkerContext, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    class AwayOnce(Store):
        was_away = False

        def record(self, *arguments):  # type: ignore[no-untyped-def]
            if not self.was_away:
                self.was_away = True
                raise DatabaseUnavailableError("away")
            return super().record(*arguments)

    (document_id,) = submit(workplace, "No fever.")
    process_document(document_id, replace(workplace, store=AwayOnce(engine)))
    assert jobs(engine, "status, attempts") == [("finished", 1)] * 2
    assert "the database does not answer" in caplog.text


def test_a_worker_that_stops_does_not_wait_for_the_database(workplace: WorkerContext, engine: Engine) -> None:
    class Away(Store):
        def record(self, *arguments):  # type: ignore[no-untyped-def]
            workplace.stopping.hurry()
            raise DatabaseUnavailableError("away")

    (document_id,) = submit(workplace, "No fever.")
    process_document(document_id, replace(workplace, store=Away(engine)))
    assert jobs(engine) == [("running",)] * 2


def test_who_has_to_be_alone_waits_and_keeps_others_out() -> None:
    hands, stopping, order = InFlightDocuments(), ShutdownRequest(), []

    def take(name: str, is_alone: bool) -> None:
        with hands.holding(stopping, is_alone=is_alone) as is_held:
            order.append((name, is_held, hands.are_empty))

    with hands.holding(stopping):
        alone = Thread(target=take, args=("alone", True))
        alone.start()
        until(lambda: hands.are_kept_free)
        late = Thread(target=take, args=("late", False))
        late.start()
        assert order == []
    alone.join(10)
    late.join(10)
    assert order == [("alone", True, False), ("late", True, False)]


def test_who_waits_to_be_alone_goes_away_when_the_worker_stops() -> None:
    hands, stopping = InFlightDocuments(), ShutdownRequest()
    with hands.holding(stopping):
        stopping.ask()
        with hands.holding(stopping, is_alone=True) as is_held:
            assert not is_held
    assert hands.are_empty
