"""Nearness in meaning, by the real network."""

import pytest

from worker.engine.api import CompareRequest, CompareResult
from worker.engine.network.linear import has_bf16
from worker.engine.network.sentence_embeddings import SentenceEmbeddings, SentenceEmbeddingsError

SENTENCES = (
    "She was discharged on lisinopril 10 mg daily and metformin.",
    "The chest x-ray was clear.",
    "Her mother had breast cancer.",
)


@pytest.fixture(scope="module")
def meaning():
    return SentenceEmbeddings.load("cpu")


def test_the_sentence_that_answers_is_nearest_though_it_shares_no_word(meaning):
    similarities = meaning.similarities("Which drugs should the patient take at home?", SENTENCES)
    assert similarities.index(max(similarities)) == 0
    family = meaning.similarities("relatives with malignancy", SENTENCES)
    assert family.index(max(family)) == 2


def test_a_text_compares_the_same_alone_and_among_others_of_any_length(meaning):
    many = [*SENTENCES, *(f"{'pain ' * count}was noted on day {count}." for count in range(1, 200, 7))]
    together = meaning.similarities("radiograph of the thorax", many)
    alone = [meaning.similarities("radiograph of the thorax", [one])[0] for one in many]
    near = 5e-3 if has_bf16() else 1e-5
    assert together == pytest.approx(alone, abs=near)
    # More than one batch a core.
    assert meaning.similarities("radiograph of the thorax", many * 6) == pytest.approx(together * 6, abs=near)


def test_nothing_compares_with_nothing(meaning):
    assert meaning.similarities("fever", []) == ()


def test_other_weights_than_the_recipes_are_refused(monkeypatch):
    monkeypatch.setattr("worker.engine.network.sentence_embeddings.EMBEDDING_MODEL_SHA256", "0" * 64)
    with pytest.raises(SentenceEmbeddingsError, match="make setup"):
        SentenceEmbeddings.load("cpu")


def test_requests_and_replies_are_values():
    assert CompareRequest("q", ("a",)) == CompareRequest("q", ("a",))
    assert len({CompareRequest("q", ("a",)), CompareRequest("q", ("a",))}) == 1
    assert CompareResult((0.5,)).similarities == (0.5,)
