"""The pipeline of one document: from claimed work to outcomes.

A task is a coroutine: a generator that yields requests, receives their replies, and returns its answer. So
tasks do not import an engine, and all questions on a note reach it together, round by round.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from models.answers import Task
from models.jobs import Job, Work
from models.outcomes import Failed, Finished, Outcome, Reason
from worker.engine.api import Engine, GenerateResult, Reply, Request, RequestError, ScoreResult
from worker.engine.task_coroutine import TaskAnswer, TaskCoroutine, UnusableReplyError
from worker.entities.entity_task import extract_entities
from worker.note.char_ranges import covers, union_of_ranges
from worker.note.parsed_note import Note
from worker.privacy.deidentified_work import deidentified, reidentified
from worker.privacy.surrogates import Surrogates
from worker.search.search_task import search_note
from worker.summary.summary_task import summarize
from worker.telemetry.usage_meter import UsageMeter
from worker.weights.task_config import TaskConfig


def process(
    work: Work,
    *,
    engine: Engine,
    config: TaskConfig,
    meter: UsageMeter | None = None,
    patient_names: Iterable[str] = (),
) -> Iterator[list[tuple[Job, Outcome]]]:
    """The outcomes of jobs as soon as they are known, those of one round together.

    `patient_names`: the patient's names in the note's metadata, used where the note is de-identified.
    Expected failures are Failed; unexpected errors raise.
    """
    meter = meter or UsageMeter()
    if not config.is_deidentified:
        yield from _processed(work, engine, config, meter)
        return
    surrogates, jobs = Surrogates.of(work.text, patient_names), {job.id: job for job in work.jobs}
    for ended in _processed(deidentified(work, surrogates), engine, config, meter):
        yield reidentified(ended, jobs, surrogates)


def _processed(
    work: Work, engine: Engine, config: TaskConfig, meter: UsageMeter
) -> Iterator[list[tuple[Job, Outcome]]]:
    with meter.timing("read"):
        note = Note.of(work.text, engine.count_tokens, config.window_tokens, config.summary_window_tokens)
    talks = [_JobState(job, _conversation(job, note, config)) for job in work.jobs]
    if ended := _ended(talks, note, meter):
        yield ended
    replies: dict[Request, Reply] = {}
    while talks := [talk for talk in talks if talk.outcome is None]:
        # Two tasks may ask the same, as a chosen summary does of what entities ask: it is answered once.
        asked = [one for one in dict.fromkeys(r for t in talks for r in t.requests) if one not in replies]
        answers = engine.answer(asked, is_urgent=work.is_urgent) if asked else []
        replies |= zip(asked, answers, strict=True)
        with meter.timing("ground"):
            for talk in talks:
                talk.hear([replies[request] for request in talk.requests], note)
        if ended := _ended(talks, note, meter):
            yield ended


def _conversation(job: Job, note: Note, config: TaskConfig) -> TaskCoroutine:
    parameters = job.question.parameters
    match job.question.task:
        case Task.ENTITIES:
            return extract_entities(note, job.labels, config)
        case Task.SEARCH:
            return search_note(note, str(parameters["query"]), config)
        case Task.SUMMARY:
            return summarize(note, int(parameters["max_words"]), config)


def _ended(talks: Sequence[_JobState], note: Note, meter: UsageMeter) -> list[tuple[Job, Outcome]]:
    """Starts new coroutines, and returns the outcomes that are new."""
    for talk in talks:
        if not talk.has_begun:
            with meter.timing("read"):
                talk.hear(None, note)
    return [(talk.job, talk.outcome) for talk in talks if talk.outcome is not None]


@dataclass(slots=True)
class _JobState:
    """One job's conversation and what it has cost so far."""

    job: Job
    conversation: TaskCoroutine
    requests: Sequence[Request] = ()
    outcome: Outcome | None = None
    has_begun: bool = False
    began: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def hear(self, replies: list[Reply] | None, note: Note) -> None:
        """Goes on to the next requests or to the outcome; None begins."""
        if replies is None:
            self.has_begun, self.began = True, time.monotonic()
        for reply in replies or ():
            if isinstance(reply, ScoreResult | GenerateResult):
                self.prompt_tokens += reply.prompt_tokens
            if isinstance(reply, GenerateResult):
                self.completion_tokens += reply.completion_tokens
        try:
            refused = next((reply for reply in replies or () if isinstance(reply, RequestError)), None)
            if refused is not None:
                raise UnusableReplyError(Reason(refused.reason), refused.detail)
            self.requests = next(self.conversation) if replies is None else self.conversation.send(replies)
        except StopIteration as stop:
            self.outcome = self._concluded(stop.value, note)
        except UnusableReplyError as failure:
            self.outcome = Failed(
                reason=failure.reason, detail=failure.detail[:300], duration_seconds=self._seconds
            )

    def _concluded(self, answered: TaskAnswer, note: Note) -> Outcome:
        """Finished only where the whole note was read."""
        ranges_read = union_of_ranges(answered.ranges_read)
        if not covers(note.text, ranges_read):
            return Failed(reason=Reason.NOT_ALL_READ, duration_seconds=self._seconds)
        return Finished(
            answer=answered.answer,
            ranges_read=ranges_read,
            duration_seconds=self._seconds,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
        )

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self.began
