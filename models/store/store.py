"""Every write, one method a transaction: committed when it returns, rolled back when it raises.

What a method does in SQL stands in the module its verb names. No session leaves here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, insert, update

from models.answers import Task
from models.corrections import Correction, Mention
from models.documents import Document
from models.jobs import Job, Question, Recipe, Serving, Work, base_ids
from models.outcomes import Finished, Outcome, Reason
from models.schema.bulk_statements import insert_new, is_among, put
from models.schema.database import reading, writing
from models.schema.database_clock import epoch_now, utc_now
from models.schema.tables import DocumentRow, RecipeRow, RunRow, ServingBaseRow, ServingRow
from models.security import audit_trail
from models.security.audit_trail import Action
from models.store import (
    answer_recording,
    cancellation,
    claims,
    correction_rows,
    leases,
    night_records,
    registration,
    retries,
    usage_charging,
    withdrawal,
)
from models.store import erasure as erasing
from models.store.answer_validation import UngroundedAnswerError, check_finished
from models.store.erasure import Erased, Erasure
from models.store.nights import FileState
from models.store.registration import Registered
from models.usage import Spent


class Store:
    """Writes to one database; safe to share between threads."""

    def __init__(self, engine: Engine, *, actor: str = "") -> None:
        """`engine` comes from `models.schema.database.connect`, its tables from `models.migrations.schema_version.upgrade`.
        `actor` is who does what follows, for the audit trail; '': the operating system's user."""
        self._engine = engine
        self._actor = actor

    def announce(self, serving: Serving) -> None:
        """A worker says what it is made of; the newest announcement is what `submit` asks under."""
        row = {"id": serving.id, "ingredients": serving.ingredients, "announced_at": utc_now()}
        bases = [
            {"serving_id": serving.id, "task": task.value, "base_id": base_id}
            for task, base_id in sorted(base_ids(serving).items())
        ]
        with writing(self._engine) as connection:
            put(connection, ServingRow, row, key="id")
            insert_new(connection, ServingBaseRow, bases)

    def open_run(
        self,
        *,
        questions: Sequence[Question],
        recipes: Sequence[Recipe],
        sources: Sequence[str],
        traceparent: str | None = None,
    ) -> int:
        """The id of a new run. `recipes`: every one that `register` will be given for this run.
        `traceparent`: the trace that what is done for this run belongs to."""
        rows = sorted((_recipe_row(recipe) for recipe in recipes), key=lambda row: str(row["id"]))
        run = {
            "questions": [question.model_dump(mode="json") for question in questions],
            "recipe_ids": [row["id"] for row in rows],
            "sources": list(sources),
            "traceparent": traceparent,
        }
        with writing(self._engine) as connection:
            insert_new(connection, RecipeRow, rows)
            run_id = connection.scalars(insert(RunRow).values(**run).returning(RunRow.id)).one()
            self._note(connection, Action.SUBMIT, run=run_id)
        return run_id

    def register(
        self,
        run_id: int,
        documents: Sequence[Document],
        questions: Sequence[Question],
        recipes: Mapping[Task, Recipe],
        *,
        is_urgent: bool = False,
    ) -> Registered:
        """Takes a batch of documents (some hundreds) into the run, with a job for each question.

        What is there already is kept: a failed job stays failed (`retry` is for those), a cancelled
        one becomes pending again, and with `is_urgent` one that still waits becomes urgent. Of a document
        whose id has another text in this run the later version stays, without versions the first.
        """
        with writing(self._engine) as connection:
            return registration.register(
                connection, run_id, documents, questions, recipes, is_urgent=is_urgent
            )

    def withdraw(self, run_id: int, external_ids: Sequence[str]) -> tuple[str, ...]:
        """Takes out of the run what it has under these ids: the source replaced or took back the notes.
        Answers stay, what is owed for this run alone is cancelled. Returns the ids that it had."""
        with writing(self._engine) as connection:
            return withdrawal.withdraw(connection, run_id, external_ids)

    def begin_night(
        self,
        plan: str,
        run_id: int,
        *,
        watermark: Mapping[str, Any] | None,
        files: Mapping[str, FileState],
    ) -> None:
        """Everything of the night is registered: the next one reads what comes after this watermark, and
        files only that are no longer as these are."""
        with writing(self._engine) as connection:
            night_records.begin_night(connection, plan, run_id, watermark, files)

    def end_night(self, run_id: int, report: Mapping[str, Any]) -> None:
        """The night is over; the next one compares itself with `report`, a JSON object."""
        with writing(self._engine) as connection:
            night_records.end_night(connection, run_id, report)

    def close_run(self, run_id: int, *, documents: int, refused: int) -> None:
        """Registration is complete; `documents` and `refused` are the sums over the run's batches,
        `refused` with the records that never became a document."""
        closed = {"closed_at": utc_now(), "documents": documents, "refused": refused}
        with writing(self._engine) as connection:
            connection.execute(update(RunRow).where(RunRow.id == run_id).values(**closed))

    def mark_enqueued(self, document_ids: Sequence[int]) -> None:
        """A message for each of these documents has just been sent."""
        if document_ids:
            with writing(self._engine) as connection:
                connection.execute(_ENQUEUED, {"document_ids": list(document_ids)})

    def claim(
        self,
        document_ids: Sequence[int],
        *,
        worker: str,
        serving_id: str,
        lease_seconds: float,
        max_kills: int,
        is_suspect: bool | None = None,
    ) -> list[Work | None]:
        """For each document the jobs owed on its text that the announced serving can answer; none if there
        are none, or an earlier one of these documents has the same text.

        They are this worker's until the lease ends without `renew`. A job in whose hands a worker died
        `max_kills` times fails (`killed_worker`); one whose every run was cancelled is cancelled.
        `is_suspect`: only jobs that were claimed before and came to no end, or none of those. `worker`
        names one process for its lifetime, not a machine.
        """
        with writing(self._engine) as connection:
            return claims.claim(
                connection,
                document_ids,
                worker=worker,
                serving_id=serving_id,
                lease_seconds=lease_seconds,
                max_kills=max_kills,
                is_suspect=is_suspect,
            )

    def renew(self, worker: str, lease_seconds: float) -> int:
        """A sign of life: the lease of every job of this worker begins anew. Returns how many it has."""
        with writing(self._engine) as connection:
            return leases.renew(connection, worker, lease_seconds)

    def record(self, ended: Sequence[tuple[Job, Outcome]]) -> list[bool | UngroundedAnswerError]:
        """Stores how each job ended, with its answer. False, and nothing written of it, where a later claim
        owns the job or it was deleted; an error where its answer is not true of the note. Neither takes the
        others along."""
        # Read before the write lock is taken: the check of a long note would hold up every writer.
        with reading(self._engine) as connection:
            texts = answer_recording.texts_of(connection, [job.id for job, _ in ended])
        breaches = [_breach(job, outcome, texts) for job, outcome in ended]
        sound = [one for one, breach in zip(ended, breaches, strict=True) if breach is None]
        with writing(self._engine) as connection:
            recorded = iter(answer_recording.record(connection, sound))
        return [next(recorded) if breach is None else breach for breach in breaches]

    def charge(self, spent: Spent, job_ids: Sequence[int]) -> None:
        """Adds what was spent on these jobs to the runs that wait for them, in proportion of their jobs."""
        with writing(self._engine) as connection:
            usage_charging.charge(connection, spent, job_ids)

    def give_back(self, worker: str) -> int:
        """At an orderly end of a worker: its running jobs are pending, their attempts not counted."""
        with writing(self._engine) as connection:
            return leases.give_back(connection, worker)

    def release(
        self,
        jobs: Sequence[Job],
        *,
        reason: Reason = Reason.CRASHED,
        detail: str,
        wait_seconds: float = 0.0,
        max_attempts: int,
    ) -> int:
        """After a surprise: these jobs are pending again, to be claimed after `wait_seconds`; the attempt
        counts, and after the last one they fail for `reason`. Leaves alone what a later claim owns.

        `detail`: the type of the exception, never its text. Returns how many are pending.
        """
        with writing(self._engine) as connection:
            return leases.release(connection, jobs, leases.failed(reason, detail), wait_seconds, max_attempts)

    def abandon(self, worker: str) -> int:
        """This worker is known to be dead: the leases of its jobs are over now. Returns how many."""
        with writing(self._engine) as connection:
            return leases.abandon(connection, worker)

    def retry(self, *, run_id: int | None, reason: Reason | None) -> tuple[int, ...]:
        """Failed jobs (of the run, for the reason, where given) are pending again with all attempts
        before them; the claims so far stay on record. Returns one document to enqueue for each text."""
        with writing(self._engine) as connection:
            documents = retries.retry(connection, run_id, reason)
            named = None if reason is None else reason.value
            self._note(connection, Action.RETRY, run=run_id, reason=named, documents=len(documents))
        return documents

    def cancel(self, run_id: int) -> int:
        """Cancels the run's pending jobs that no other run waits for; returns how many. What is running
        is finished and kept. Raises UsageError where there is no such run."""
        with writing(self._engine) as connection:
            jobs = cancellation.cancel(connection, run_id)
            self._note(connection, Action.CANCEL, run=run_id, jobs=jobs)
        return jobs

    def erase(
        self, erasure: Erasure, *, limit: int = 500, before_commit: Callable[[Erased], None] = lambda _: None
    ) -> Erased:
        """Removes at most `limit` documents with their jobs and answers, texts that no other document has,
        and runs of which nothing is left; together with its row in the audit trail. Call it until it
        removes nothing. A worker that has one of them in hand finds its job gone and stores nothing."""
        with writing(self._engine) as connection:
            erased = erasing.erase(connection, erasure, limit, self._actor)
            before_commit(erased)
        return erased

    def note(self, action: Action, **subject: Any) -> None:
        """Adds a row to the audit trail: ids and counts only."""
        with writing(self._engine) as connection:
            self._note(connection, action, **subject)

    def _note(self, connection: Connection, action: Action, **subject: Any) -> None:
        audit_trail.append(connection, action, subject, actor=self._actor)

    def correct(self, text_sha256: str, corrections: Sequence[Correction]) -> None:
        """A person's verdicts on mentions of a text, each in the place of an earlier one on the same mention.
        Raises NotInTextError, and stores none, where one of them is not of characters of the text."""
        with writing(self._engine) as connection:
            correction_rows.correct(connection, text_sha256, corrections)
            self._note(connection, Action.CORRECT, text=text_sha256, corrections=len(corrections))

    def withdraw_correction(self, text_sha256: str, found: Mention) -> bool:
        """Takes the verdict on this mention back; whether there was one."""
        with writing(self._engine) as connection:
            return correction_rows.withdraw(connection, text_sha256, found)


_ENQUEUED = (
    update(DocumentRow).where(is_among(DocumentRow.id, "document_ids")).values(enqueued_epoch=epoch_now())
)


def _breach(job: Job, outcome: Outcome, texts: Mapping[int, str]) -> UngroundedAnswerError | None:
    if isinstance(outcome, Finished) and job.id in texts:
        try:
            check_finished(job, outcome, texts[job.id])
        except UngroundedAnswerError as breach:
            return breach
    return None


def _recipe_row(recipe: Recipe) -> dict[str, object]:
    return {
        "id": recipe.id,
        "base_id": recipe.base_id,
        "task": recipe.task.value,
        "ingredients": recipe.ingredients,
        "labels": [label.model_dump(mode="json") for label in recipe.labels],
    }
