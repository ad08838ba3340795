"""Registry of baselines and their tasks. Imports only the one that was requested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from training.evaluation.metrics.span_matching import Marked
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

    def __call__(self, text: str, /) -> list[Marked]: ...


SearchBaseline = Callable[[str, Sequence[str]], list[float]]
"""A search baseline: a score for each sentence, given a query."""


def check(task: str, names: Sequence[str]) -> None:
    """Raises DataError for a baseline that the task does not have."""
    for name in names:
        if name not in OF_TASK[task]:
            known = ", ".join(OF_TASK[task]) or "none"
            raise DataError(f"--baseline {name} does not go with --task {task}. Baselines: {known}.")


def ranker(name: str) -> SearchBaseline:
    """The ranker: bm25 or minilm."""
    if name == "bm25":
        from training.evaluation.baselines import bm25

        return bm25.rank
    from worker.engine.network.sentence_embeddings import SentenceEmbeddings

    meaning = SentenceEmbeddings.load("cpu")
    return lambda query, sentences: list(meaning.similarities(query, sentences))
