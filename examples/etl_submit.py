"""A hospital's nightly ETL job: hand over last night's notes, wait, read what was found.

    export NOTEMILL_DATABASE_URL=postgresql://etl:…@db/notemill   # the same two as the workers have
    export NOTEMILL_REDIS_URL=redis://:…@queue:6379/0
    python examples/etl_submit.py

It needs neither torch nor a GPU: the network is in the worker (`notemill worker`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import date

import producer
from models.errors import NotemillError
from models.queries.queries import Queries
from models.schema.database import connect
from models.settings import load_settings

NOTES = {
    "ED-2024-0001": "Chief complaint: chest pain since this morning.\r\n"
    "History: hypertension, no diabetes.\r\n"
    "Started aspirin 100 mg daily. Troponin 0.02 ng/mL.\r\n",
    "ED-2024-0002": "Follow-up after pneumonia. No fever, no cough. Amoxicillin finished last week.\r\n",
}
POLL_SECONDS = 1.0
PATIENCE_SECONDS = 1_800.0


def main() -> int:
    # An error of notemill's is for the operator: it says what to type, and holds no text of a note.
    try:
        return submit_and_read()
    except NotemillError as error:
        print(f"etl_submit: {error}", file=sys.stderr)
        return 1


def submit_and_read() -> int:
    # What is submitted twice costs nothing the second time, so a job that broke off is simply run again.
    submitted = producer.submit(
        last_nights_notes(),
        tasks=["entities", "summary"],
        searches=["signs of infection"],
        on_progress=lambda progress: print(f"{progress.documents} notes registered", flush=True),
    )
    if submitted.rejects_path is not None:
        print(f"{submitted.refused} records refused, why is in {submitted.rejects_path}", file=sys.stderr)

    # The database is the truth: it is asked how far the run is, not Redis and no Celery result.
    engine = connect(load_settings().effective_database_url)
    try:
        queries = Queries(engine)
        is_done = wait_for(queries, submitted.run_id)
        for result in queries.results(run_id=submitted.run_id):
            print(one_line(result))
        return 0 if is_done and not queries.run_progress(submitted.run_id).failed else 1
    finally:
        engine.dispose()


def last_nights_notes() -> Iterator[producer.Document]:
    """A generator, so that an archive of any size goes through in the memory of one batch.

    Here would stand a cursor of the hospital's own. For a plain SELECT there is producer.SqlQuery,
    for files their path: producer.submit("notes.jsonl.gz").
    """
    for note_id, text in NOTES.items():
        # The text as it is, line ends and all: every answer points to its characters.
        yield producer.Document(
            external_id=note_id,
            text=text,
            source="ed-system",
            metadata={"exported_on": date.today()},  # noqa: DTZ011
        )


def wait_for(queries: Queries, run_id: int) -> bool:
    """Whether the run was done in time. One that was not goes on; read its results later by its id."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (progress := queries.run_progress(run_id)).is_done:
        if time.monotonic() > deadline:
            print(f"run {run_id}: {progress.pending + progress.running} jobs to go", file=sys.stderr)
            return False
        time.sleep(POLL_SECONDS)
    return True


def one_line(result: dict[str, object]) -> str:
    """A job as a line; a real job would write `result`, which is plain JSON, to its own tables."""
    answer = result.get("summary") or result.get("passages") or result.get("entities")
    return f"{result['external_id']} {result['task']}: {result['reason'] or answer or 'nothing found'}"


if __name__ == "__main__":
    sys.exit(main())
