"""The pipeline of one document: from claimed work to outcomes.

A task is a coroutine: a generator that yields requests, receives their replies, and returns its answer. Tasks
therefore do not import an engine, and the requests of all tasks on a note reach it together, in rounds.
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
    """Yields the outcomes of the jobs as soon as they are known, those of one round together.

    `patient_names`: the names of the patient in the metadata of the note, used if the note is de-identified.
    Expected failures are `Failed` outcomes; unexpected errors are raised.
    """
    meter = meter or UsageMeter()
    if not config.is_deidentified:
        yield from _processed(work, engine, config, meter)
        return
    surrogates, jobs = Surrogates.of(work.text, patient_names), {job.id: job for job in work.jobs}
    for outcomes in _processed(deidentified(work, surrogates), engine, config, meter):
        yield reidentified(outcomes, jobs, surrogates)


def _processed(
    work: Work, engine: Engine, config: TaskConfig, meter: UsageMeter
) -> Iterator[list[tuple[Job, Outcome]]]:
    with meter.timing("read"):
        note = Note.of(work.text, engine.count_tokens, config.window_tokens, config.summary_window_tokens)
    states = [_JobState(job, _task_coroutine(job, note, config)) for job in work.jobs]
    if outcomes := _new_outcomes(states, note, meter):
        yield outcomes
    replies: dict[Request, Reply] = {}
    while states := [state for state in states if state.outcome is None]:
        # Equal requests of several tasks, such as those for entities and extractive summaries, are sent once.
        requests = dict.fromkeys(request for state in states for request in state.requests)
        new_requests = [request for request in requests if request not in replies]
        new_replies = engine.answer(new_requests, is_urgent=work.is_urgent) if new_requests else []
        replies |= zip(new_requests, new_replies, strict=True)
        with meter.timing("ground"):
            for state in states:
                state.advance([replies[request] for request in state.requests], note)
        if outcomes := _new_outcomes(states, note, meter):
            yield outcomes


def _task_coroutine(job: Job, note: Note, config: TaskConfig) -> TaskCoroutine:
    parameters = job.question.parameters
    match job.question.task:
        case Task.ENTITIES:
            return extract_entities(note, job.labels, config)
        case Task.SEARCH:
            return search_note(note, str(parameters["query"]), config)
        case Task.SUMMARY:
            return summarize(note, int(parameters["max_words"]), config)


def _new_outcomes(states: Sequence[_JobState], note: Note, meter: UsageMeter) -> list[tuple[Job, Outcome]]:
    """Starts coroutines that have not started, and returns the outcomes that are known by now."""
    for state in states:
        if not state.has_started:
            with meter.timing("read"):
                state.advance(None, note)
    return [(state.job, state.outcome) for state in states if state.outcome is not None]


@dataclass(slots=True)
class _JobState:
    """The coroutine of a job, its open requests, and its tokens so far."""

    job: Job
    coroutine: TaskCoroutine
    requests: Sequence[Request] = ()
    outcome: Outcome | None = None
    has_started: bool = False
    started_at: float = 0.0
    """Seconds of the monotonic clock."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def advance(self, replies: list[Reply] | None, note: Note) -> None:
        """Advances the coroutine to its next requests or to its outcome; None as `replies` starts it."""
        if replies is None:
            self.has_started, self.started_at = True, time.monotonic()
        for reply in replies or ():
            if isinstance(reply, ScoreResult | GenerateResult):
                self.prompt_tokens += reply.prompt_tokens
            if isinstance(reply, GenerateResult):
                self.completion_tokens += reply.completion_tokens
        try:
            error = next((reply for reply in replies or () if isinstance(reply, RequestError)), None)
            if error is not None:
                raise UnusableReplyError(Reason(error.reason), error.detail)
            self.requests = next(self.coroutine) if replies is None else self.coroutine.send(replies)
        except StopIteration as stop:
            self.outcome = self._outcome_of(stop.value, note)
        except UnusableReplyError as failure:
            self.outcome = Failed(
                reason=failure.reason, detail=failure.detail[:300], duration_seconds=self._seconds
            )

    def _outcome_of(self, task_answer: TaskAnswer, note: Note) -> Outcome:
        """Finished if the prompts contained the whole note, otherwise failed."""
        ranges_read = union_of_ranges(task_answer.ranges_read)
        if not covers(note.text, ranges_read):
            return Failed(reason=Reason.NOT_ALL_READ, duration_seconds=self._seconds)
        return Finished(
            answer=task_answer.answer,
            ranges_read=ranges_read,
            duration_seconds=self._seconds,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
        )

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self.started_at
