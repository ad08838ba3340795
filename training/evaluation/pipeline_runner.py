"""Runs questions through the worker's pipeline, many notes at the same time.

One thing differs from serving: a search returns every sentence with its score, for rankings.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from models.answers import Answer, EntitiesAnswer, SearchAnswer, SummaryAnswer, Task
from models.jobs import Job, Question, Work
from models.labels import Label
from models.outcomes import Finished, Outcome
from worker.engine.api import Engine
from worker.pipeline import process
from worker.weights.task_config import TaskConfig


@dataclass(frozen=True, slots=True)
class PipelineRunner:
    """An engine with its task configuration."""

    engine: Engine
    config: TaskConfig
    labels: tuple[Label, ...]
    threads: int
    """Notes in progress at the same time."""

    def ask(self, texts: Sequence[str], questions: Sequence[Question]) -> Answers:
        """Runs one question on each text; returns the answers in the same order."""
        began = time.monotonic()
        with ThreadPoolExecutor(self.threads) as pool:
            outcomes = list(pool.map(self._outcome, texts, questions))
        return Answers(tuple(outcomes), time.monotonic() - began)

    @property
    def search_threshold(self) -> float:
        """The lowest score of a sentence that is served."""
        return self.config.ranking_model.threshold

    def _outcome(self, text: str, question: Question) -> Outcome:
        labels = self.labels if question.task is Task.ENTITIES else ()
        job = Job(id=0, question=question, recipe_id="", labels=labels, attempt=1)
        work = Work(document_id=0, text=text, jobs=(job,))
        all_scores = replace(self.config, ranking_model=replace(self.config.ranking_model, threshold=0.0))
        [[(_, outcome)]] = process(work, engine=self.engine, config=all_scores)
        return outcome


@dataclass(frozen=True, slots=True)
class Answers:
    """The outcomes of the questions in their order, and the time that all took."""

    outcomes: tuple[Outcome, ...]
    seconds: float

    @property
    def answers(self) -> list[Answer | None]:
        """The answers; None where a job failed."""
        return [outcome.answer if isinstance(outcome, Finished) else None for outcome in self.outcomes]

    def figures(self) -> dict[str, float | int]:
        """Metrics of every task: invalid answers and speed."""
        invalid = sum(not isinstance(outcome, Finished) for outcome in self.outcomes)
        return {
            "invalid_answers": invalid,
            "seconds": round(self.seconds, 2),
            "seconds_per_note": round(self.seconds / max(1, len(self.outcomes)), 3),
        }


def are_offsets_true(text: str, answer: Answer) -> bool:
    """True if the text of each span of an answer is at its offsets in the note."""
    match answer:
        case EntitiesAnswer():
            attributes = [attribute for entity in answer.entities for attribute in entity.attributes]
            return all(text[entity.start : entity.end] == entity.text for entity in answer.entities) and all(
                text[attribute.start : attribute.end] == attribute.text for attribute in attributes
            )
        case SearchAnswer():
            return all(text[passage.start : passage.end] == passage.text for passage in answer.passages)
        case SummaryAnswer():
            spans = [span for sentence in answer.summary.sentences for span in sentence.sources]
            return all(span.end <= len(text) for span in spans)
