"""Validation of an answer against its note before it is stored: spans, quotes, sources, coverage.

Pure functions on values. An invalid answer is a defect in notemill, not in the note or the weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from models.answers import Attribute, EntitiesAnswer, Entity, Passage, SearchAnswer, Span, SummaryAnswer
from models.jobs import Job
from models.outcomes import Finished


class InvalidAnswerError(ValueError):
    """An answer that is not valid for its note. Names the job and the span, never the text."""

    def __init__(self, job_id: int, defect: str) -> None:
        super().__init__(f"job {job_id}: {defect}; not stored")
        self.job_id = job_id


def validate_answer(job: Job, finished: Finished, text: str) -> None:
    """Raises InvalidAnswerError unless the answer has the job's task, `text[start:end]` is the quoted
    text of every entity, attribute and passage, every source is in the text, and the ranges read cover the
    whole text except white space."""
    if finished.answer.task is not job.question.task:
        raise InvalidAnswerError(job.id, f"an answer to {finished.answer.task}, not {job.question.task}")
    for span in _spans(finished):
        if span.end > len(text):
            raise InvalidAnswerError(job.id, f"[{span.start}, {span.end}) is not in the text")
    for quote in _quotes(finished):
        if text[quote.start : quote.end] != quote.text:
            raise InvalidAnswerError(job.id, f"[{quote.start}, {quote.end}) is not the quoted text")
    for start, end in _gaps(finished.ranges_read, len(text)):
        if text[start:end].strip():
            raise InvalidAnswerError(job.id, f"[{start}, {end}) was never read")


def _spans(finished: Finished) -> Iterator[Span]:
    yield from finished.ranges_read
    yield from _quotes(finished)
    if isinstance(finished.answer, SummaryAnswer):
        for sentence in finished.answer.summary.sentences:
            yield from sentence.sources


def _quotes(finished: Finished) -> Iterator[Entity | Attribute | Passage]:
    match finished.answer:
        case EntitiesAnswer(entities=entities):
            for entity in entities:
                yield entity
                yield from entity.attributes
        case SearchAnswer(passages=passages):
            yield from passages


def _gaps(ranges: Iterable[Span], length: int) -> Iterator[tuple[int, int]]:
    read_until = 0
    for span in sorted(ranges, key=lambda span: span.start):
        if span.start > read_until:
            yield read_until, span.start
        read_until = max(read_until, span.end)
    if read_until < length:
        yield read_until, length
