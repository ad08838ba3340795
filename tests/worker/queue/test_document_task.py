"""Processing one document in a worker: what is recorded when it succeeds and when it fails."""

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
from models.queries.patient_names import patient_names_of
from models.queries.queries import Queries
from models.schema.database import DatabaseUnavailableError, read_transaction
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
def context(tmp_path: Path, store: Store) -> Iterator[WorkerContext]:
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
        exit_as_broken=lambda: None,
        meter=meter,
        usage_accounting=UsageAccounting(meter, store),
    )
    stand_in.close()


def with_settings(context: WorkerContext, **changes: object) -> WorkerContext:
    return replace(context, settings=context.settings.model_copy(update=changes))


def submit(context: WorkerContext, *notes: str) -> tuple[int, ...]:
    recipe = recipe_for(Task.SEARCH, context.serving, ())
    run_id = context.store.open_run(questions=[PAIN, FEVER], recipes=[recipe], sources=[])
    batch = documents(*notes)
    return context.store.register(run_id, batch, [PAIN, FEVER], {Task.SEARCH: recipe}).owed_document_ids


def jobs(engine: Engine, columns: str = "status") -> list[tuple[object, ...]]:
    with read_transaction(engine) as connection:
        return [tuple(row) for row in connection.execute(text(f"SELECT {columns} FROM jobs ORDER BY id"))]


def end_retry_delay(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET lease_until_epoch = 0 WHERE status = 'pending'"))


def test_every_job_owed_on_the_document_is_answered(context: WorkerContext, engine: Engine) -> None:
    (document_id,) = submit(context, "No fever. Mild pain.")
    process_document(document_id, context)
    assert jobs(engine) == [("finished",)] * 2
    assert context.in_flight.is_empty


def test_deidentification_hides_the_patient_name_of_the_metadata_from_the_engine(
    context: WorkerContext, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (document_id,) = submit(context, "Quillfeather has no fever.")
    with engine.begin() as connection:
        connection.execute(text("""UPDATE documents SET metadata = '{"patient_name": "Quillfeather"}'"""))
    received, answer = [], StandIn.answer
    monkeypatch.setattr(
        StandIn, "answer", lambda self, requests, **_: received.extend(requests) or answer(self, requests)
    )
    deidentifying = replace(context, patient_names_of=partial(patient_names_of, engine))
    object.__setattr__(deidentifying, "config", replace(context.config, is_deidentified=True))
    process_document(document_id, deidentifying)
    assert jobs(engine) == [("finished",)] * 2
    assert "has no fever" in str(received)
    assert "Quillfeather" not in str(received)
    assert jobs(engine, "(SELECT text FROM texts)")[0] == ("Quillfeather has no fever.",)


def test_jobs_of_another_serving_are_left_alone(context: WorkerContext, engine: Engine) -> None:
    (document_id,) = submit(context, "No fever.")
    tasks = {task.value: {"prompt": "another"} for task in Task}
    process_document(document_id, replace(context, serving=Serving(ingredients={"tasks": tasks})))
    assert jobs(engine) == [("pending",)] * 2


def test_an_unexpected_error_is_retried_and_fails_after_the_last_attempt(
    context: WorkerContext, engine: Engine
) -> None:
    (document_id,) = submit(context, "Such notes CRASH.")
    for number, status in enumerate(["pending", "pending", "failed"]):
        process_document(document_id, context, is_isolated=number > 0)
        assert jobs(engine) == [(status,)] * 2
        end_retry_delay(engine)
    assert jobs(engine, "attempts, reason, detail") == [(3, "crashed", "ValueError")] * 2


def test_a_lack_of_memory_is_retried_and_fails_after_the_last_attempt(
    context: WorkerContext, engine: Engine
) -> None:
    (document_id,) = submit(context, "Such notes find no MEMORY.")
    for number, status in enumerate(["pending", "pending", "failed"]):
        process_document(document_id, context, is_isolated=number > 0)
        assert jobs(engine) == [(status,)] * 2
        end_retry_delay(engine)
    assert jobs(engine, "attempts, reason") == [(3, "out_of_memory")] * 2


def test_a_job_waits_before_its_next_attempt(context: WorkerContext, engine: Engine) -> None:
    (document_id,) = submit(context, "Such notes CRASH.")
    process_document(document_id, context)
    process_document(document_id, context)
    assert jobs(engine, "attempts") == [(1,)] * 2
    assert Queries(engine).owed_documents(older_than_seconds=0, limit=9) == []


def test_an_unexpected_error_is_logged_by_type_and_location_only(
    context: WorkerContext, caplog: pytest.LogCaptureFixture
) -> None:
    (document_id,) = submit(context, "Such notes CRASH with a TOKEN.")
    with caplog.at_level(logging.DEBUG):
        process_document(document_id, context)
    assert "ValueError at " in caplog.text
    assert "answering.py" in caplog.text
    assert "TOKEN" not in caplog.text


def test_each_job_runs_alone_after_the_first_attempt(context: WorkerContext, engine: Engine) -> None:
    (document_id,) = submit(context, "No fever.")
    store, settings = context.store, context.settings
    (work,) = store.claim(
        [document_id], worker="w", serving_id=context.serving.id, lease_seconds=9, max_kills=3
    )
    assert work is not None
    store.requeue(work.jobs, detail="", max_attempts=settings.max_attempts)
    end_retry_delay(engine)
    process_document(document_id, context)
    assert jobs(engine) == [("pending",)] * 2
    process_document(document_id, context, is_isolated=True)
    answered = (context.engine.folder / "answered").read_text().splitlines()  # type: ignore[attr-defined]
    assert [line.split()[1] for line in answered] == ["1", "1"]


def test_a_document_over_its_time_limit_fails_with_the_limit(context: WorkerContext, engine: Engine) -> None:
    (document_id,) = submit(context, "Such notes HANG.")
    process_document(document_id, with_settings(context, time_limit_seconds=0.2))
    assert jobs(engine, "status, reason, detail") == [("failed", "timed_out", "limit 0.2 s")] * 2


def test_a_worker_that_was_asked_to_stop_begins_no_document(context: WorkerContext, engine: Engine) -> None:
    (document_id,) = submit(context, "No fever.")
    context.shutdown.request()
    process_document(document_id, context)
    assert jobs(engine, "status, attempts") == [("pending", 0)] * 2


def test_an_immediate_shutdown_ends_the_document_and_its_claims_can_be_released(
    context: WorkerContext, engine: Engine
) -> None:
    (document_id,) = submit(context, "Such notes HANG.")
    thread = Thread(target=process_document, args=(document_id, context))
    thread.start()
    until(lambda: jobs(engine) == [("running",)] * 2)
    context.shutdown.expedite()
    thread.join(10)
    assert context.in_flight.is_empty
    assert context.store.release_claims(context.name) == 2


def test_an_answer_after_another_claim_is_not_recorded(
    context: WorkerContext, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    (document_id,) = submit(context, "No fever.")

    class Overtaken(StandIn):
        def answer(self, requests, *, is_urgent=False):  # type: ignore[no-untyped-def]
            context.store.expire_leases(context.name)
            other = replace(context, name="host:3:4", in_flight=InFlightDocuments())
            process_document(document_id, other, is_isolated=True)
            return super().answer(requests, is_urgent=is_urgent)

    process_document(document_id, replace(context, engine=Overtaken(context.settings.home_folder.parent)))
    assert jobs(engine, "status, attempts") == [("finished", 2)] * 2
    assert caplog.text.count("is too late") == 2


def test_a_broken_engine_fails_no_job_and_ends_the_worker(context: WorkerContext, engine: Engine) -> None:
    gave_up: list[bool] = []
    broken = replace(context, exit_as_broken=lambda: gave_up.append(True))
    ids = submit(context, *(f"Such notes find it BROKEN {number}." for number in range(20)))
    for document_id in ids:
        assert not gave_up
        process_document(document_id, broken)
    assert gave_up == [True]
    assert set(jobs(engine)) == {("pending",)}


def test_a_finished_job_between_errors_shows_that_the_engine_works(context: WorkerContext) -> None:
    gave_up: list[bool] = []
    lucky = replace(context, exit_as_broken=lambda: gave_up.append(True))
    notes = (f"Such notes find it BROKEN {number}." for number in range(19))
    for document_id in submit(context, *notes, "No fever.", "Another CRASH."):
        process_document(document_id, lucky)
    assert not gave_up


def test_an_answer_waits_for_an_unavailable_database(
    context: WorkerContext, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    class AwayOnce(Store):
        was_away = False

        def record(self, *arguments):  # type: ignore[no-untyped-def]
            if not self.was_away:
                self.was_away = True
                raise DatabaseUnavailableError("away")
            return super().record(*arguments)

    (document_id,) = submit(context, "No fever.")
    process_document(document_id, replace(context, store=AwayOnce(engine)))
    assert jobs(engine, "status, attempts") == [("finished", 1)] * 2
    assert "the database does not answer" in caplog.text


def test_a_worker_that_stops_does_not_wait_for_the_database(context: WorkerContext, engine: Engine) -> None:
    class Away(Store):
        def record(self, *arguments):  # type: ignore[no-untyped-def]
            context.shutdown.expedite()
            raise DatabaseUnavailableError("away")

    (document_id,) = submit(context, "No fever.")
    process_document(document_id, replace(context, store=Away(engine)))
    assert jobs(engine) == [("running",)] * 2


def test_an_isolated_document_waits_and_blocks_others() -> None:
    in_flight, shutdown, order = InFlightDocuments(), ShutdownRequest(), []

    def take(name: str, is_isolated: bool) -> None:
        with in_flight.hold(shutdown, is_isolated=is_isolated) as is_held:
            order.append((name, is_held, in_flight.is_empty))

    with in_flight.hold(shutdown):
        alone = Thread(target=take, args=("alone", True))
        alone.start()
        until(lambda: in_flight.is_reserved)
        late = Thread(target=take, args=("late", False))
        late.start()
        assert order == []
    alone.join(10)
    late.join(10)
    assert order == [("alone", True, False), ("late", True, False)]


def test_a_document_that_waits_for_isolation_is_given_up_when_the_worker_stops() -> None:
    in_flight, shutdown = InFlightDocuments(), ShutdownRequest()
    with in_flight.hold(shutdown):
        shutdown.request()
        with in_flight.hold(shutdown, is_isolated=True) as is_held:
            assert not is_held
    assert in_flight.is_empty
