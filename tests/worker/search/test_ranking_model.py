"""Fitting the ranking model: informative features get weight, others get none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.errors import UsageError
from models.settings import Settings
from training.calibration.fit_ranking import QueryFeatures, fit, fit_ranking, fitting_metrics, sampled_queries
from worker.weights.ranking_model import SentenceFeatures

COLUMN = {name: index for index, name in enumerate(SentenceFeatures._fields)}


def queried(chance: np.random.Generator, informative: str, *, has_intent: bool) -> QueryFeatures:
    """Returns twenty sentences; those with a high informative feature are relevant, with some noise."""
    features = chance.normal(size=(20, len(COLUMN)))
    features[:, COLUMN["bias"]] = 1.0
    relevant = features[:, COLUMN[informative]] + chance.normal(scale=0.3, size=20) > 0.8
    return QueryFeatures(features, tuple(map(bool, relevant)), has_intent)


@pytest.fixture
def both() -> list[QueryFeatures]:
    chance = np.random.default_rng(1)
    topic_queries = [queried(chance, "words", has_intent=False) for _ in range(30)]
    return topic_queries + [queried(chance, "intent_score", has_intent=True) for _ in range(30)]


def test_the_informative_feature_gets_the_weight(both: list[QueryFeatures]) -> None:
    model = fit(both)
    assert model.intent_weights is not None
    assert model.topic_weights.words > 5 * max(
        abs(model.topic_weights.embedding_similarity), abs(model.topic_weights.decision)
    )
    assert model.intent_weights.intent_score > 5 * abs(model.intent_weights.words)
    assert model.topic_weights.intent_score == 0.0
    assert fitting_metrics(both, model)["map"] > 0.9


def test_fitting_needs_topic_queries_and_intent_queries(both: list[QueryFeatures]) -> None:
    with pytest.raises(UsageError, match="30 queries name a thing and 0 ask for an aspect"):
        fit([query for query in both if not query.has_intent])


def test_queries_are_sampled_from_section_headings(tmp_path: Path) -> None:
    note = "MEDICATIONS\\nAspirin daily. Metformin too.\\n\\nALLERGIES\\nPenicillin. No others known.\\n"
    path = tmp_path / "valid.jsonl"
    path.write_text("\n".join([f'{{"note": "{note}"}}'] * 12), "utf-8")
    queries = sampled_queries(path, 10)
    assert len(queries) == 10
    assert any("medication" in sampled.query.lower() for sampled in queries)
    answering = [
        sampled.text[s.start : s.end]
        for sampled in queries
        if "allerg" in sampled.query.lower()
        for s, is_hit in zip(sampled.sentences, sampled.relevant, strict=True)
        if is_hit
    ]
    assert set(answering) <= {"Penicillin.", "No others known.", "Penicillin"}


def test_a_folder_without_an_adapter_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"notemill\.json"):
        fit_ranking(tmp_path, [], Settings(), 10, print)
