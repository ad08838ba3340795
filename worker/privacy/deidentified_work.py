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


def deidentified(work: Work, disguise: Surrogates) -> Work:
    """The work that the network may see: the note and questions with surrogates."""
    jobs = tuple(
        job.model_copy(update={"question": question_under(job.question, disguise)}) for job in work.jobs
    )
    return work.model_copy(update={"text": disguise.shown, "jobs": jobs})


def reidentified(
    ended: Iterable[tuple[Job, Outcome]], jobs: Mapping[int, Job], disguise: Surrogates
) -> list[tuple[Job, Outcome]]:
    """The outcomes of de-identified work mapped back to the original note."""
    return [(jobs[job.id], _revealed(outcome, disguise)) for job, outcome in ended]


def question_under(question: Question, disguise: Surrogates) -> Question:
    """The question with surrogates."""
    if question.task is not Task.SEARCH:
        return question
    query = disguise.worded(str(question.parameters["query"]))
    return question.model_copy(update={"parameters": {**question.parameters, "query": query}})


def _revealed(outcome: Outcome, disguise: Surrogates) -> Outcome:
    if isinstance(outcome, Failed):
        return outcome
    answer = _answer(outcome.answer, disguise)
    if answer is None:
        words = "what was written cannot be traced back to the note's own names and dates"
        return Failed(reason=Reason.UNPARSABLE, detail=words, duration_seconds=outcome.duration_seconds)
    return Finished.model_validate({**dict(outcome), "answer": answer})


def _answer(answer: Answer, disguise: Surrogates) -> Answer | None:
    match answer:
        case EntitiesAnswer(entities=entities):
            return EntitiesAnswer(entities=tuple(_entity(one, disguise.text) for one in entities))
        case SearchAnswer(passages=passages):
            return SearchAnswer(passages=tuple(_quoting(one, disguise.text) for one in passages))
        case SummaryAnswer(summary=summary):
            told = list(_told(summary.sentences, disguise))
            # The first is the title, which a summary cannot be without.
            is_whole = bool(told) and told[0].section == summary.sentences[0].section
            return SummaryAnswer(summary=summary_of(told)) if is_whole else None


def _told(sentences: Iterable[SummarySentence], disguise: Surrogates) -> Iterator[SummarySentence]:
    for sentence in sentences:
        if (text := disguise.told(sentence.text)) is not None:
            yield sentence.model_copy(update={"text": text})


def _entity(entity: Entity, text: str) -> Entity:
    attributes = tuple(_quoting(one, text) for one in entity.attributes)
    return _quoting(entity, text).model_copy(update={"attributes": attributes})


def _quoting(quote: _Quote, text: str) -> _Quote:
    return quote.model_copy(update={"text": text[quote.start : quote.end]})
