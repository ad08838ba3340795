"""De-identified work: the network reads surrogates, and stored answers contain the words of the note.

Character offsets are the same in both texts. Generated text that cannot be mapped back is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from models.answers import (
    Answer,
    Attribute,
    EntitiesAnswer,
    Entity,
    Passage,
    SearchAnswer,
    SummaryAnswer,
    SummarySentence,
    Task,
)
from models.jobs import Job, Question, Work
from models.outcomes import Failed, Finished, Outcome, Reason
from worker.privacy.surrogates import Surrogates
from worker.summary.summary_task import summary_of

_Quote = TypeVar("_Quote", Entity, Attribute, Passage)


def deidentified(work: Work, surrogates: Surrogates) -> Work:
    """The work that is sent to the network: the note and the questions with surrogates."""
    jobs = tuple(
        job.model_copy(update={"question": deidentified_question(job.question, surrogates)})
        for job in work.jobs
    )
    return work.model_copy(update={"text": surrogates.deidentified_text, "jobs": jobs})


def reidentified(
    batch: Iterable[tuple[Job, Outcome]], jobs: Mapping[int, Job], surrogates: Surrogates
) -> list[tuple[Job, Outcome]]:
    """The outcomes of de-identified work, mapped back to the original jobs and the original note."""
    return [(jobs[job.id], _reidentified_outcome(outcome, surrogates)) for job, outcome in batch]


def deidentified_question(question: Question, surrogates: Surrogates) -> Question:
    """The question with surrogates in its query, if it has one."""
    if question.task is not Task.SEARCH:
        return question
    query = surrogates.deidentified_query(str(question.parameters["query"]))
    return question.model_copy(update={"parameters": {**question.parameters, "query": query}})


def _reidentified_outcome(outcome: Outcome, surrogates: Surrogates) -> Outcome:
    if isinstance(outcome, Failed):
        return outcome
    answer = _reidentified_answer(outcome.answer, surrogates)
    if answer is None:
        detail = "the generated text cannot be mapped back to the names and dates of the note"
        return Failed(reason=Reason.UNPARSABLE, detail=detail, duration_seconds=outcome.duration_seconds)
    return Finished.model_validate({**dict(outcome), "answer": answer})


def _reidentified_answer(answer: Answer, surrogates: Surrogates) -> Answer | None:
    match answer:
        case EntitiesAnswer(entities=entities):
            return EntitiesAnswer(
                entities=tuple(_quoted_entity(entity, surrogates.text) for entity in entities)
            )
        case SearchAnswer(passages=passages):
            return SearchAnswer(passages=tuple(_quoted(passage, surrogates.text) for passage in passages))
        case SummaryAnswer(summary=summary):
            sentences = list(_reidentified_sentences(summary.sentences, surrogates))
            # The first sentence is the title; a summary cannot be without it.
            has_title = bool(sentences) and sentences[0].section == summary.sentences[0].section
            return SummaryAnswer(summary=summary_of(sentences)) if has_title else None


def _reidentified_sentences(
    sentences: Iterable[SummarySentence], surrogates: Surrogates
) -> Iterator[SummarySentence]:
    for sentence in sentences:
        if (text := surrogates.reidentified(sentence.text)) is not None:
            yield sentence.model_copy(update={"text": text})


def _quoted_entity(entity: Entity, text: str) -> Entity:
    attributes = tuple(_quoted(attribute, text) for attribute in entity.attributes)
    return _quoted(entity, text).model_copy(update={"attributes": attributes})


def _quoted(quote: _Quote, text: str) -> _Quote:
    """The span of an answer with its text from the original note."""
    return quote.model_copy(update={"text": text[quote.start : quote.end]})
