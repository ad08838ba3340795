"""Search's join, fitted: what tells gets weight, what does not gets none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.errors import UsageError
from models.settings import Settings
from training.calibration.fit_ranking import QueryFeatures, fit, fit_ranking, fitting_metrics, sampled_queries
from worker.weights.ranking_model import SentenceFeatures

COLUMN = {name: place for place, name in enumerate(SentenceFeatures._fields)}


def queried(chance: np.random.Generator, telling: str, *, has_intent: bool) -> QueryFeatures:
    """Twenty sentences of which those answer that the telling clue says, nearly always."""
    features = chance.normal(size=(20, len(COLUMN)))
    features[:, COLUMN["bias"]] = 1.0
    relevant = features[:, COLUMN[telling]] + chance.normal(scale=0.3, size=20) > 0.8
    return QueryFeatures(features, tuple(map(bool, relevant)), has_intent)


@pytest.fixture
def both() -> list[QueryFeatures]:
    chance = np.random.default_rng(1)
    things = [queried(chance, "words", has_intent=False) for _ in range(30)]
    return things + [queried(chance, "intent_score", has_intent=True) for _ in range(30)]


def test_the_clue_that_tells_has_the_weight(both: list[QueryFeatures]) -> None:
    found = fit(both)
    assert found.intent_weights is not None
    assert found.topic_weights.words > 5 * max(
        abs(found.topic_weights.embedding_similarity), abs(found.topic_weights.decision)
    )
    assert found.intent_weights.intent_score > 5 * abs(found.intent_weights.words)
    assert found.topic_weights.intent_score == 0.0
    assert fitting_metrics(both, found)["map"] > 0.9


def test_one_kind_of_query_alone_is_too_little(both: list[QueryFeatures]) -> None:
    with pytest.raises(UsageError, match="30 queries name a thing and 0 ask for an aspect"):
        fit([one for one in both if not one.has_intent])


def test_notes_with_headings_are_asked_for_by_them(tmp_path: Path) -> None:
    note = "MEDICATIONS\\nAspirin daily. Metformin too.\\n\\nALLERGIES\\nPenicillin. No others known.\\n"
    path = tmp_path / "valid.jsonl"
    path.write_text("\n".join([f'{{"note": "{note}"}}'] * 12), "utf-8")
    asked = sampled_queries(path, 10)
    assert len(asked) == 10
    assert any("medication" in one.query.lower() for one in asked)
    answering = [one.text[s.start : s.end] for one in asked if "allerg" in one.query.lower()
                 for s, is_hit in zip(one.sentences, one.relevant, strict=True) if is_hit]  # fmt: skip
    assert set(answering) <= {"Penicillin.", "No others known.", "Penicillin"}


def test_a_folder_that_is_no_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"notemill\.json"):
        fit_ranking(tmp_path, [], Settings(), 10, print)
