"""A few notes for tests of the web pages: one from a ward, one that attacks, one failed, one waiting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from making import ENTITIES, SUMMARY, claimed, record, submit

from models.answers import (
    Answer,
    Assertion,
    Attribute,
    EntitiesAnswer,
    Entity,
    Flag,
    Passage,
    SearchAnswer,
    Span,
    Summary,
    SummaryAnswer,
    SummarySentence,
    Task,
)
from models.documents import Document
from models.jobs import Question
from models.outcomes import Failed, Finished, Reason
from models.store.store import Store

TOKEN = "let-me-in"
QUERY = "Is there <b>pain</b>?"
WARD = "Heart 🫀 note.\r\nPain in the left arm. No fever.\r\nAspirin 100 mg daily.\r\n"
ATTACK = (
    "<script>document.title = 'owned'</script> <img src=x onerror=alert(1)> </mark></div> \"><svg onload=a()>"
    " &lt;b&gt; {{ 7 * 7 }} \u202eesrever Pain"
)
SEARCH = Question(task=Task.SEARCH, parameters={"query": QUERY})
QUESTIONS = (ENTITIES, SEARCH, SUMMARY)


def fill(store: Store) -> None:
    """Stores four notes in one run."""
    metadata = {"ward": "<i>7</i>", "n": 2}
    notes = [
        Document(external_id="ward", text=WARD, source="notes/ward.txt", metadata=metadata),
        Document(external_id="<u>attack</u>", text=ATTACK),
        Document(external_id="failing", text="A note that fails."),
        Document(external_id="waiting", text="A note that waits."),
    ]
    submit(store, notes, QUESTIONS)
    for document_id, text in ((1, WARD), (2, ATTACK)):
        for job in claimed(store, document_id).jobs:
            whole = (Span(start=0, end=len(text)),)
            answer = answer_to(job.question.task, text)
            assert record(store, job, Finished(answer=answer, ranges_read=whole, duration_seconds=1))
    for job in claimed(store, 3).jobs:
        record(store, job, Failed(reason=Reason.TIMED_OUT, detail="<em>1800 s</em>"))


def answer_to(task: Task, text: str) -> Answer:
    """Entities: pain, and in WARD fever (negated) and aspirin with its dosage."""
    pain = _entity(text, "Pain", "problem", probability=0.93)
    if task is Task.ENTITIES:
        return EntitiesAnswer(entities=(pain, *(_ward_entities(text) if text is WARD else ())))
    if task is Task.SEARCH:
        return SearchAnswer(passages=(Passage(start=pain.start, end=pain.end, text=pain.text, score=0.9),))
    pain_span = Span(start=pain.start, end=pain.end)
    last_span = Span(start=len(text.rstrip()) - 4, end=len(text.rstrip()))
    sentences = (
        SummarySentence(section="", text="<b>Pain</b>", sources=(pain_span,)),
        SummarySentence(section="Course", text="It hurts.", sources=(pain_span, last_span)),
        SummarySentence(section="Course", text="Take 500 mg.", flags=(Flag.NUMBER_NOT_IN_NOTE,)),
    )
    return SummaryAnswer(summary=Summary(title="<b>Pain</b>", text="Pain", sections=(), sentences=sentences))


def _ward_entities(text: str) -> Sequence[Entity]:
    dosage = Attribute(**_place(text, "100 mg"), text="100 mg", kind="dosage")
    return (
        _entity(text, "fever", "problem", assertion=Assertion.NEGATED),
        _entity(text, "Aspirin", "medication", attributes=(dosage,)),
    )


def _entity(text: str, words: str, label: str, **more: Any) -> Entity:
    return Entity(**_place(text, words), text=words, label=label, **more)


def _place(text: str, words: str) -> dict[str, int]:
    return {"start": text.index(words), "end": text.index(words) + len(words)}
