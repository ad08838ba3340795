"""What a network answers at random on odd notes: through the parser, the store, and out by every export."""

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
    """One input: a note, what it is called, and how it is answered."""

    document: Document
    seed: int
    is_marked: bool
    is_chosen: bool
    is_deidentified: bool


def answer_target(folder: Path) -> FuzzTarget:
    """A note, its answers, and one export of them; `folder` is for the database."""
    return FuzzTarget(
        "network_answers", _given, lambda given, scratch: _answered(given, scratch, folder), share=2.0
    )


def task_config(
    *, is_marked: bool, is_chosen: bool, is_deidentified: bool = False, summary_window_tokens: int = 80
) -> TaskConfig:
    """One of the ways in which weights may be asked, with small windows."""
    marked = tuple(label.name for label in LABELS) if is_marked else ()
    return TaskConfig(
        adapted_tasks=frozenset(Task) if is_marked else frozenset(),
        tagged_labels=marked,
        is_list_forced=not is_marked,
        is_summary_extractive=is_chosen and is_marked,
        window_tokens=40,
        summary_window_tokens=summary_window_tokens,
        ranking_model=RankingModel(),
        is_deidentified=is_deidentified,
    )


def _given(chance: random.Random) -> _NoteCase:
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
    is_marked, is_chosen, is_deidentified = (chance.random() < 0.5 for _ in range(3))
    return _NoteCase(document, chance.getrandbits(32), is_marked, is_chosen, is_deidentified)


def _characters(chance: random.Random) -> str:
    codes = (chance.choice((chance.randrange(1, 0x300), chance.randrange(0xE000, 0x11000))) for _ in range(8))
    return "".join(map(chr, codes))


def _answered(given: _NoteCase, scratch: Path, folder: Path) -> str:
    engine = _database(folder)
    store, queries = Store(engine), Queries(engine)
    recipes: dict[Task, Recipe] = {task: recipe_for(task, _SERVING, LABELS) for task in Task}
    run_id = store.open_run(questions=QUESTIONS, recipes=list(recipes.values()), sources=[])
    registered = store.register(run_id, [given.document], QUESTIONS, recipes)
    store.close_run(run_id, documents=registered.documents, refused=len(registered.refused))
    if registered.refused:
        return "refused"
    outcomes = [_of_work(store, id_, given) for id_ in registered.owed_document_ids]
    _exported(queries, run_id, scratch, given.seed)
    return "read" if any(outcomes) else "refused"


def _of_work(store: Store, document_id: int, given: _NoteCase) -> bool:
    """Whether anything was finished; every answer holds for the note, and the store takes it."""
    (work,) = store.claim(
        [document_id], worker="fuzz", serving_id=_SERVING.id, lease_seconds=60.0, max_kills=3
    )
    assert work is not None
    config = task_config(
        is_marked=given.is_marked, is_chosen=given.is_chosen, is_deidentified=given.is_deidentified
    )
    erratic = RandomEngine(given.seed, work.text.split())
    with np.errstate(invalid="ignore"):  # infinite scores, added up
        ended = [one for some in process(work, engine=erratic, config=config) for one in some]
    assert {job.id for job, _ in ended} == {job.id for job in work.jobs}
    for job, outcome in ended:
        if isinstance(outcome, Finished):
            validate_answer(job, outcome, work.text)
    for result in store.record(ended):
        if isinstance(result, Exception):
            raise result
        assert result is True
    return any(isinstance(outcome, Finished) for _, outcome in ended)


def _exported(queries: Queries, run_id: int, scratch: Path, seed: int) -> None:
    form = FORMS[seed % len(FORMS)]
    output = scratch / f"export-{form}"
    exported = ExportRequest(
        notes=queries.exported(run_id),
        external_ids=queries.exported_ids(run_id),
        output=str(output),
        vocabulary=Vocabulary(),
    )
    write(form, exported)
    if form == "jsonl":
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
