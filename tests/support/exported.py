"""A small archive for tests of exports: notes with odd characters, every assertion, all three answers.

In a test module: `pytest_plugins = ("exported",)`, then ask for `archive`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import making
import pytest

from exports.export_formats import ExportRequest, write
from exports.source.vocabulary import Vocabulary
from models.answers import (
    Answer,
    Assertion,
    Attribute,
    EntitiesAnswer,
    Entity,
    Passage,
    SearchAnswer,
    Span,
    Summary,
    SummaryAnswer,
    SummarySentence,
    Task,
)
from models.documents import Document
from models.outcomes import Finished
from models.queries.note_export import ExportedNote
from models.queries.queries import Queries
from models.schema.database import connect
from models.store.store import Store

ODD = (
    "=Chest  pain😀 and chest\r\npressure.\r\nNo fever; possible sepsis.\tHb 8.9 g/dl.\n"
    "Aspirin 100 mg p.o. daily for pain-relief. Mother: diabetes. Had asthma. If fever, return."
)
PLAIN = "Cough for 2 weeks. Amoxicillin 500 mg three times daily."
_MENTIONS = (
    ("Chest  pain", "problem", "present", ()),
    ("pain", "problem", "present", ()),
    ("chest\r\npressure", "problem", "present", ()),
    ("fever", "problem", "negated", ()),
    ("sepsis", "problem", "possible", ()),
    ("Hb", "test", "present", (("value", "8.9 g/dl"),)),
    ("Aspirin", "medication", "present", (("dosage", "100 mg"), ("route", "p.o."), ("frequency", "daily"))),
    ("relief", "procedure", "negated", ()),
    ("diabetes", "problem", "family", ()),
    ("asthma", "problem", "historical", ()),
    ("return", "procedure", "conditional", ()),
    ("Cough", "problem", "present", ()),
    ("Amoxicillin", "medication", "historical", (("dosage", "500 mg"),)),
)


@dataclass
class Archive:
    """A store with run 1, and a way to write an export."""

    store: Store
    queries: Queries
    folder: Path

    def write(
        self, form: str, name: str, vocabulary: Vocabulary | None = None, run: int | None = None
    ) -> Path:
        exported = ExportRequest(
            notes=self.queries.exported(run),
            external_ids=self.queries.exported_ids(run),
            output=name if "://" in name else str(self.folder / name),
            vocabulary=vocabulary or Vocabulary(),
        )
        write(form, exported)
        return self.folder / name

    def notes(self) -> list[ExportedNote]:
        return list(self.queries.exported())


@pytest.fixture
def archive(tmp_path: Path, _archive_template: Path) -> Iterator[Archive]:
    shutil.copyfile(_archive_template, tmp_path / "notemill.db")
    engine = connect(f"sqlite:///{tmp_path / 'notemill.db'}")
    yield Archive(Store(engine), Queries(engine), tmp_path)
    engine.dispose()


@pytest.fixture(scope="session")
def _archive_template(_sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "notemill.db"
    shutil.copyfile(_sqlite_template, path)
    engine = connect(f"sqlite:///{path}")
    about = {"patient": "12", "encounter": "77", "date": "2024-05-06T07:08:09", "title": "Discharge"}
    batch = [
        Document(external_id="ward/1 ü.txt", text=ODD, metadata=about),
        Document(external_id="2", text=PLAIN),
        Document(external_id="empty", text="Nothing."),
    ]
    making.submit(Store(engine), batch, making.QUESTIONS)
    for number, document in enumerate(batch, start=1):
        answer_all(Store(engine), number, document.text)
    engine.dispose()
    return path


def answer_all(store: Store, document_id: int, text: str) -> None:
    """Records correct answers to all jobs owed on a document."""
    whole = (Span(start=0, end=len(text)),)
    for job in making.claimed(store, document_id).jobs:
        answer = _answer(job.question.task, text)
        assert making.record(store, job, Finished(answer=answer, ranges_read=whole, duration_seconds=1.0))


def _answer(task: Task, text: str) -> Answer:
    sentence = re.search(r"[^.]+\.", text)
    assert sentence is not None
    place = {"start": sentence.start(), "end": sentence.end()}
    if task is Task.ENTITIES:
        return EntitiesAnswer(entities=tuple(_entities(text)))
    if task is Task.SEARCH:
        return SearchAnswer(passages=(Passage(**place, text=sentence[0], score=0.8),))
    summary_sentence = SummarySentence(section="Course", text="Was ill.", sources=(Span(**place),))
    return SummaryAnswer(
        summary=Summary(title="Title", text="Title\nWas ill.", sections=(), sentences=(summary_sentence,))
    )


def _entities(text: str) -> Iterator[Entity]:
    for words, label, assertion, attributes in _MENTIONS:
        if words in text:
            linked = tuple(
                Attribute(**_place(text, value), text=value, kind=kind) for kind, value in attributes
            )
            yield Entity(
                **_place(text, words),
                text=words,
                label=label,
                assertion=Assertion(assertion),
                probability=0.75,
                attributes=linked,
            )


def _place(text: str, words: str) -> dict[str, int]:
    return {"start": text.index(words), "end": text.index(words) + len(words)}
