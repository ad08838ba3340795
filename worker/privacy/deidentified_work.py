"""De-identified work: the network reads surrogates, the stored answers are the note's own words.

Spans are the same in both texts. Generated text that cannot be mapped back is left out.
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
    """The work that the network may see: the note and questions with surrogates."""
    jobs = tuple(
        job.model_copy(update={"question": deidentified_question(job.question, surrogates)})
        for job in work.jobs
    )
    return work.model_copy(update={"text": surrogates.deidentified_text, "jobs": jobs})


def reidentified(
    ended: Iterable[tuple[Job, Outcome]], jobs: Mapping[int, Job], surrogates: Surrogates
) -> list[tuple[Job, Outcome]]:
    """The outcomes of de-identified work mapped back to the original note."""
    return [(jobs[job.id], _revealed(outcome, surrogates)) for job, outcome in ended]


def deidentified_question(question: Question, surrogates: Surrogates) -> Question:
    """The question with surrogates."""
    if question.task is not Task.SEARCH:
        return question
    query = surrogates.deidentified_query(str(question.parameters["query"]))
    return question.model_copy(update={"parameters": {**question.parameters, "query": query}})


def _revealed(outcome: Outcome, surrogates: Surrogates) -> Outcome:
    if isinstance(outcome, Failed):
        return outcome
    answer = _answer(outcome.answer, surrogates)
    if answer is None:
        words = "what was written cannot be traced back to the note's own names and dates"
        return Failed(reason=Reason.UNPARSABLE, detail=words, duration_seconds=outcome.duration_seconds)
    return Finished.model_validate({**dict(outcome), "answer": answer})


def _answer(answer: Answer, surrogates: Surrogates) -> Answer | None:
    match answer:
        case EntitiesAnswer(entities=entities):
            return EntitiesAnswer(entities=tuple(_entity(one, surrogates.text) for one in entities))
        case SearchAnswer(passages=passages):
            return SearchAnswer(passages=tuple(_quoting(one, surrogates.text) for one in passages))
        case SummaryAnswer(summary=summary):
            told = list(_told(summary.sentences, surrogates))
            # The first is the title, which a summary cannot be without.
            is_whole = bool(told) and told[0].section == summary.sentences[0].section
            return SummaryAnswer(summary=summary_of(told)) if is_whole else None


def _told(sentences: Iterable[SummarySentence], surrogates: Surrogates) -> Iterator[SummarySentence]:
    for sentence in sentences:
        if (text := surrogates.reidentified(sentence.text)) is not None:
            yield sentence.model_copy(update={"text": text})


def _entity(entity: Entity, text: str) -> Entity:
    attributes = tuple(_quoting(one, text) for one in entity.attributes)
    return _quoting(entity, text).model_copy(update={"attributes": attributes})


def _quoting(quote: _Quote, text: str) -> _Quote:
    return quote.model_copy(update={"text": text[quote.start : quote.end]})
