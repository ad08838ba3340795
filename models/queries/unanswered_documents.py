"""What asking would cost, without asking: which documents have a question without an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine

from models.answers import Task
from models.documents import Document
from models.jobs import JobStatus, Question, Recipe
from models.schema.database import reading
from models.store.registration import JobKey, stored_jobs

_ENDED = (JobStatus.FINISHED, JobStatus.FAILED)


def unanswered(
    engine: Engine,
    documents: Sequence[Document],
    questions: Sequence[Question],
    recipes: Mapping[Task, Recipe],
) -> list[Document]:
    """Those of a batch on which a run would have something to do, one for each text. Writes nothing."""
    by_text = {document.text_sha256: document for document in documents}
    wanted = {
        JobKey(sha, question.task.value, question.parameters_sha256, recipes[question.task].id)
        for sha in by_text
        for question in questions
    }
    with reading(engine) as connection:
        stored = stored_jobs(connection, wanted) if wanted else {}
    ended = {key for key, job in stored.items() if JobStatus(job.status) in _ENDED}
    open_texts = {key.text_sha256 for key in wanted - ended}
    return [document for sha, document in by_text.items() if sha in open_texts]
