"""Round trip: `results` returns what was stored, for arbitrary notes and answers."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making import QUESTIONS, a_serving, claimed, record, submit

from models.answers import (
    Answer,
    Assertion,
    Attribute,
    EntitiesAnswer,
    Entity,
    Flag,
    Passage,
    SearchAnswer,
    Section,
    Span,
    Summary,
    SummaryAnswer,
    SummarySentence,
    Task,
)
from models.documents import Document
from models.outcomes import Finished
from models.queries.queries import Queries
from models.store.store import Store

# Not in a note: producers refuse NUL, and UTF-8 has no lone surrogates.
CHARACTERS = st.characters(blacklist_characters="\x00", blacklist_categories=("Cs",))
TEXTS = st.text(CHARACTERS, min_size=1, max_size=60).filter(lambda text: bool(text.strip()))
WORDS = st.text(CHARACTERS, max_size=20)
PROBABILITIES = st.floats(0, 1)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def spans(draw: st.DrawFn, text: str) -> Span:
    start = draw(st.integers(0, len(text) - 1))
    return Span(start=start, end=draw(st.integers(start + 1, len(text))))


@st.composite
def quotes(draw: st.DrawFn, text: str) -> dict[str, Any]:
    span = draw(spans(text))
    return {"start": span.start, "end": span.end, "text": text[span.start : span.end]}


@st.composite
def entities(draw: st.DrawFn, text: str) -> Entity:
    attribute = st.builds(lambda quote, kind: Attribute(**quote, kind=kind), quotes(text), WORDS)
    return Entity(
        **draw(quotes(text)),
        label=draw(WORDS),
        assertion=draw(st.sampled_from(Assertion)),
        probability=draw(st.none() | PROBABILITIES),
        attributes=draw(st.lists(attribute, max_size=2)),
    )


@st.composite
def summaries(draw: st.DrawFn, text: str) -> Summary:
    sentence = st.builds(
        SummarySentence,
        section=WORDS,
        text=WORDS,
        sources=st.lists(spans(text), max_size=2).map(tuple),
        flags=st.lists(st.sampled_from(Flag), unique=True, max_size=2).map(tuple),
    )
    return Summary(
        title=draw(WORDS),
        text=draw(WORDS),
        sections=draw(st.lists(st.builds(Section, title=WORDS, text=WORDS), max_size=2)),
        sentences=draw(st.lists(sentence, max_size=3)),
    )


@st.composite
def notes_with_answers(draw: st.DrawFn) -> tuple[Document, dict[Task, Answer]]:
    text = draw(TEXTS)
    passage = st.builds(lambda quote, score: Passage(**quote, score=score), quotes(text), PROBABILITIES)
    metadata = draw(st.dictionaries(WORDS, JSON_VALUES, max_size=3))
    document = Document(external_id="note", text=text, metadata=metadata)
    return document, {
        Task.ENTITIES: EntitiesAnswer(entities=draw(st.lists(entities(text), max_size=3))),
        Task.SEARCH: SearchAnswer(passages=draw(st.lists(passage, max_size=3))),
        Task.SUMMARY: SummaryAnswer(summary=draw(summaries(text))),
    }


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(example=notes_with_answers())
def test_answers_are_read_back_as_stored(
    store: Store, queries: Queries, example: tuple[Document, dict[Task, Answer]]
) -> None:
    document, answers = example
    serving = a_serving(weights=uuid4().hex)  # new recipes each time, so that no job exists before
    run_id, registered = submit(store, [document], QUESTIONS, serving)
    work = claimed(store, registered.owed_document_ids[0], serving_id=serving.id)
    whole = (Span(start=0, end=len(document.text)),)
    for job in work.jobs:
        answer = answers[job.question.task]
        record(store, job, Finished(answer=answer, ranges_read=whole, duration_seconds=0.25))
    for result in queries.results(run_id=run_id):
        answer = answers[Task(result["task"])]
        assert result.items() >= answer.model_dump(mode="json", exclude={"task"}).items()
        assert result["ranges_read"] == [{"start": 0, "end": len(document.text)}]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(example=notes_with_answers())
def test_a_document_is_read_back_as_stored(
    store: Store, queries: Queries, example: tuple[Document, dict[Task, Answer]]
) -> None:
    document = example[0].model_copy(update={"external_id": f"{uuid4()} {example[0].text}"})
    _, registered = submit(store, [document], serving=a_serving(weights=uuid4().hex))
    by_number = queries.document(f"#{registered.owed_document_ids[0]}")
    assert by_number is not None
    assert by_number == queries.document(document.external_id)
    assert (by_number.text, by_number.metadata) == (document.text, document.metadata)
