"""Random answers on unusual notes, through the parser, the store and every export."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from exports.export_formats import FORMS, ExportRequest, write
from exports.source.vocabulary import Vocabulary
from models.answers import Task
from models.documents import Document
from models.jobs import Question, Recipe, Serving, recipe_for
from models.labels import load_labels
from models.migrations import schema_version
from models.outcomes import Finished
from models.queries.queries import Queries
from models.schema.database import connect
from models.store.answer_validation import validate_answer
from models.store.store import Store
from resilience.fuzz.input_check import FuzzTarget
from resilience.fuzz.random_engine import TEXT_FRAGMENTS, RandomEngine
from worker.pipeline import process
from worker.weights.ranking_model import RankingModel
from worker.weights.task_config import TaskConfig

LABELS = load_labels(None)
QUESTIONS = (
    Question(task=Task.ENTITIES),
    Question(task=Task.SEARCH, parameters={"query": "Is there pain?"}),
    Question(task=Task.SUMMARY, parameters={"max_words": 60}),
)
_NAMES = ("Dr. Odell ", "MRN 0048291 ", "03/14/2023 ", "Name: O'NEIL, Bo", " Odell", " 312-555-0184")
_SERVING = Serving(ingredients={"weights": "erratic", "tasks": {task.value: {} for task in Task}})


@dataclass(frozen=True)
class _NoteCase:
    """One input: a document and the task configuration that answers it."""

    document: Document
    seed: int
    is_tagged: bool
    is_extractive: bool
    is_deidentified: bool


def answer_target(folder: Path) -> FuzzTarget:
    """Target: a note, its answers and one export. The database is in `folder`."""
    return FuzzTarget(
        "network_answers", _note_case, lambda case, scratch: _answer_case(case, scratch, folder), share=2.0
    )


def task_config(
    *, is_tagged: bool, is_extractive: bool, is_deidentified: bool = False, summary_window_tokens: int = 80
) -> TaskConfig:
    """A task configuration that weights may have, with small windows."""
    tagged_labels = tuple(label.name for label in LABELS) if is_tagged else ()
    return TaskConfig(
        adapter_tasks=frozenset(Task) if is_tagged else frozenset(),
        tagged_labels=tagged_labels,
        is_list_forced=not is_tagged,
        is_summary_extractive=is_extractive and is_tagged,
        window_tokens=40,
        summary_window_tokens=summary_window_tokens,
        ranking_model=RankingModel(),
        is_deidentified=is_deidentified,
    )


def _note_case(chance: random.Random) -> _NoteCase:
    drawn = [
        chance.choice((*TEXT_FRAGMENTS, *_NAMES, _characters(chance))) for _ in range(chance.randint(1, 40))
    ]
    text = "".join(drawn).replace("\x00", "")
    name = (
        "".join(chance.choices((*TEXT_FRAGMENTS, "a", "/", "..", "'"), k=3)).replace("\x00", "").strip()
        or "a"
    )
    document = Document(
        external_id=name, text=text if text.strip() else "Pain.", metadata={"ward": name, "=cmd()": "\x1b[2J"}
    )
    is_tagged, is_extractive, is_deidentified = (chance.random() < 0.5 for _ in range(3))
    return _NoteCase(document, chance.getrandbits(32), is_tagged, is_extractive, is_deidentified)


def _characters(chance: random.Random) -> str:
    codes = (chance.choice((chance.randrange(1, 0x300), chance.randrange(0xE000, 0x11000))) for _ in range(8))
    return "".join(map(chr, codes))


def _answer_case(case: _NoteCase, scratch: Path, folder: Path) -> str:
    engine = _database(folder)
    store, queries = Store(engine), Queries(engine)
    recipes: dict[Task, Recipe] = {task: recipe_for(task, _SERVING, LABELS) for task in Task}
    run_id = store.open_run(questions=QUESTIONS, recipes=list(recipes.values()), sources=[])
    registered = store.register(run_id, [case.document], QUESTIONS, recipes)
    store.close_run(run_id, documents=registered.documents, refused=len(registered.refused))
    if registered.refused:
        return "refused"
    outcomes = [_answer_document(store, id_, case) for id_ in registered.owed_document_ids]
    _export(queries, run_id, scratch, case.seed)
    return "read" if any(outcomes) else "refused"


def _answer_document(store: Store, document_id: int, case: _NoteCase) -> bool:
    """Answers a document; returns True if a job finished. Checks that every answer is valid and is stored."""
    (work,) = store.claim(
        [document_id], worker="fuzz", serving_id=_SERVING.id, lease_seconds=60.0, max_kills=3
    )
    assert work is not None
    config = task_config(
        is_tagged=case.is_tagged, is_extractive=case.is_extractive, is_deidentified=case.is_deidentified
    )
    engine = RandomEngine(case.seed, work.text.split())
    with np.errstate(invalid="ignore"):  # sums of infinite scores
        ended = [
            job_and_outcome
            for ended_jobs in process(work, engine=engine, config=config)
            for job_and_outcome in ended_jobs
        ]
    assert {job.id for job, _ in ended} == {job.id for job in work.jobs}
    for job, outcome in ended:
        if isinstance(outcome, Finished):
            validate_answer(job, outcome, work.text)
    for result in store.record(ended):
        if isinstance(result, Exception):
            raise result
        assert result is True
    return any(isinstance(outcome, Finished) for _, outcome in ended)


def _export(queries: Queries, run_id: int, scratch: Path, seed: int) -> None:
    export_format = FORMS[seed % len(FORMS)]
    output = scratch / f"export-{export_format}"
    exported = ExportRequest(
        notes=queries.exported(run_id),
        external_ids=queries.exported_ids(run_id),
        output=str(output),
        vocabulary=Vocabulary(),
    )
    write(export_format, exported)
    if export_format == "jsonl":
        for line in output.read_bytes().splitlines():
            json.loads(line)
    shutil.rmtree(output, ignore_errors=True) if output.is_dir() else output.unlink()


@cache
def _database(folder: Path) -> Engine:
    path = folder / "answers.db"
    path.unlink(missing_ok=True)
    engine = connect(f"sqlite:///{path}")
    schema_version.upgrade(engine)
    Store(engine).announce(_SERVING)
    return engine
