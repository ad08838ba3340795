"""Registry of the baselines of each task. Imports a baseline only when it is requested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from training.evaluation.metrics.span_matching import LabeledSpan
from training.evaluation.records.evaluation_data import DataError

OF_TASK = {
    "entities": ("dictionary", "scispacy"),
    "assertion": ("negex",),
    "links": (),
    "search": ("bm25", "minilm"),
    "summary": ("lead3",),
}


class EntityBaseline(Protocol):
    """An entity baseline; labels are the data's own names."""

    def __call__(self, text: str, /) -> list[LabeledSpan]: ...


SearchBaseline = Callable[[str, Sequence[str]], list[float]]
"""A search baseline: a score for each sentence, given a query."""


def check(task: str, names: Sequence[str]) -> None:
    """Raises DataError for a baseline that the task does not have; `all` has those of every task."""
    known = OF_TASK.get(task, tuple(name for names_of_task in OF_TASK.values() for name in names_of_task))
    for name in names:
        if name not in known:
            names_of_task = ", ".join(known) or "none"
            raise DataError(f"--baseline {name} does not go with --task {task}. Baselines: {names_of_task}.")


def ranker(name: str) -> SearchBaseline:
    """The search baseline of this name: bm25 or minilm."""
    if name == "bm25":
        from training.evaluation.baselines import bm25

        return bm25.rank
    from worker.engine.network.sentence_embeddings import SentenceEmbeddings

    embeddings = SentenceEmbeddings.load("cpu")
    return lambda query, sentences: list(embeddings.similarities(query, sentences))
