"""notemill as a worker runs it: a thread a note, many notes at once, one shared engine."""

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
from worker.search.query_intents import intent_wordings
from worker.weights.task_config import task_config


class NotemillGeneration:
    """Generates through Engine.answer. Needs no tuning: a worker sets its own batch sizes."""

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
        for index, prompt in enumerate(prompts):
            notes[prompt.note].append(index)
        with ThreadPoolExecutor(self._settings.worker_threads) as pool:
            replies = pool.map(
                lambda of_note: self.engine.answer([prompts[i].request for i in of_note]), notes.values()
            )
            by_index = {
                index: reply
                for of_note, of_replies in zip(notes.values(), replies, strict=True)
                for index, reply in zip(of_note, of_replies, strict=True)
            }
        return [_answer(by_index[index]) for index in range(len(prompts))]

    def clear_caches(self) -> None:
        """Keeps nothing between rounds."""

    def close(self) -> None:
        self.engine.close()


class NotemillPipeline:
    """Answers whole notes through the worker's pipeline, which scores and generates nothing."""

    name = "ours"

    def __init__(self, settings: Settings, texts: Sequence[str]) -> None:
        self._settings = settings
        self._texts = texts
        self.tuning: dict[str, Any] = {"threads_with_a_note_each": settings.worker_threads}

    def prepare(self, _sample: Sequence[BenchmarkPrompt]) -> None:
        self.engine = load(self._settings)
        self._config = task_config(self._settings)  # read once, as a worker does
        self._process(self._texts[0])

    def answer(self, prompts: Sequence[BenchmarkPrompt]) -> list[GeneratedAnswer]:
        """Runs all tasks on the notes of the prompts. Raises RuntimeError when a job fails."""
        notes = dict.fromkeys(prompt.note for prompt in prompts)
        with ThreadPoolExecutor(self._settings.worker_threads) as pool:
            outcomes = list(pool.map(lambda note: self._process(self._texts[note]), notes))
        for outcome in (outcome for of_note in outcomes for outcome in of_note):
            if not isinstance(outcome, Finished):
                raise RuntimeError(f"notemill failed: {outcome.reason}")
        return []

    def clear_caches(self) -> None:
        """Clears all caches, then embeds the query intents again: a worker keeps those for its whole life."""
        self.engine.forget()
        self.engine.answer([CompareRequest(intent_wordings()[0], intent_wordings())])

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
            Job(id=number, question=question, recipe_id="", labels=labels if number == 0 else (), attempt=1)
            for number, question in enumerate(questions)
        )
        work = Work(document_id=0, text=text, jobs=jobs)
        rounds = process(work, engine=self.engine, config=self._config)
        return [outcome for ended in rounds for _, outcome in ended]


def _answer(reply: Any) -> GeneratedAnswer:
    if not isinstance(reply, GenerateResult):
        raise RuntimeError(f"notemill refused: {reply}")
    return GeneratedAnswer(reply.text, reply.completion_tokens)
