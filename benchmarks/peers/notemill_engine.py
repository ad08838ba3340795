"""Ours, as a worker runs it: a thread a note, many notes in hand, one engine between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.comparison.workload import QUERY, BenchmarkPrompt, GeneratedAnswer
from models.answers import Task
from models.jobs import Job, Question, Work
from models.labels import load_labels
from models.outcomes import Finished
from models.settings import Settings
from worker.engine.api import CompareRequest, GenerateResult
from worker.engine.network.local_engine import load
from worker.pipeline import process
from worker.search.query_intents import ways_to_ask
from worker.weights.task_config import task_config


class NotemillGeneration:
    """Through the public Engine.answer; nothing is tuned here, a worker calibrates itself."""

    name = "ours"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.tuning: dict[str, Any] = {"threads_with_a_note_each": settings.worker_threads}

    def prepare(self, sample: Sequence[BenchmarkPrompt]) -> None:
        self.engine = load(self._settings)
        self.answer(sample)

    def answer(self, prompts: Sequence[BenchmarkPrompt]) -> list[GeneratedAnswer]:
        self.engine.forget()
        notes: dict[int, list[int]] = defaultdict(list)
        for index, one in enumerate(prompts):
            notes[one.note].append(index)
        with ThreadPoolExecutor(self._settings.worker_threads) as pool:
            replies = pool.map(
                lambda own: self.engine.answer([prompts[i].request for i in own]), notes.values()
            )
            together = zip(notes.values(), replies, strict=True)
            found = {index: reply for own, some in together for index, reply in zip(own, some, strict=True)}
        return [_answer(found[index]) for index in range(len(prompts))]

    def forget(self) -> None:
        """It keeps nothing between rounds."""

    def close(self) -> None:
        self.engine.close()


class NotemillPipeline:
    """Ours in its own form: whole notes through the worker's pipeline; nothing is written."""

    name = "ours"

    def __init__(self, settings: Settings, texts: Sequence[str]) -> None:
        self._settings = settings
        self._texts = texts
        self.tuning: dict[str, Any] = {"threads_with_a_note_each": settings.worker_threads}

    def prepare(self, _sample: Sequence[BenchmarkPrompt]) -> None:
        self.engine = load(self._settings)
        self._how = task_config(self._settings)  # once, as a worker does
        self._process(self._texts[0])

    def answer(self, prompts: Sequence[BenchmarkPrompt]) -> list[GeneratedAnswer]:
        """All tasks on the notes of what the others are asked. Raises RuntimeError where a job fails."""
        notes = dict.fromkeys(one.note for one in prompts)
        with ThreadPoolExecutor(self._settings.worker_threads) as pool:
            outcomes = list(pool.map(lambda note: self._process(self._texts[note]), notes))
        for outcome in (one for some in outcomes for one in some if not isinstance(one, Finished)):
            raise RuntimeError(f"ours failed: {outcome.reason}")
        return []

    def forget(self) -> None:
        """All of the notes, and the query; the ways to ask for an aspect, which stay a worker's whole life,
        are there."""
        self.engine.forget()
        self.engine.answer([CompareRequest(ways_to_ask()[0], ways_to_ask())])

    def close(self) -> None:
        self.engine.close()

    def _process(self, text: str) -> list[Any]:
        questions = (
            Question(task=Task.ENTITIES),
            Question(task=Task.SEARCH, parameters={"query": QUERY}),
            Question(task=Task.SUMMARY, parameters={"max_words": self._settings.summary_words}),
        )
        labels = load_labels(self._settings.labels_file)
        jobs = tuple(
            Job(id=number, question=one, recipe_id="", labels=labels if number == 0 else (), attempt=1)
            for number, one in enumerate(questions)
        )
        work = Work(document_id=0, text=text, jobs=jobs)
        rounds = process(work, engine=self.engine, config=self._how)
        return [outcome for ended in rounds for _, outcome in ended]


def _answer(reply: Any) -> GeneratedAnswer:
    if not isinstance(reply, GenerateResult):
        raise RuntimeError(f"ours refused: {reply}")
    return GeneratedAnswer(reply.text, reply.completion_tokens)
