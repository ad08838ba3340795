"""Sentence embeddings of the real network: similarities of queries and sentences."""

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
def embeddings():
    return SentenceEmbeddings.load("cpu")


def test_the_answering_sentence_is_the_most_similar_without_a_shared_word(embeddings):
    similarities = embeddings.similarities("Which drugs should the patient take at home?", SENTENCES)
    assert similarities.index(max(similarities)) == 0
    family = embeddings.similarities("relatives with malignancy", SENTENCES)
    assert family.index(max(family)) == 2


def test_a_similarity_is_the_same_alone_and_in_a_batch_of_mixed_lengths(embeddings):
    many = [*SENTENCES, *(f"{'pain ' * count}was noted on day {count}." for count in range(1, 200, 7))]
    together = embeddings.similarities("radiograph of the thorax", many)
    alone = [embeddings.similarities("radiograph of the thorax", [text])[0] for text in many]
    tolerance = 5e-3 if has_bf16() else 1e-5
    assert together == pytest.approx(alone, abs=tolerance)
    # More than one batch a core.
    assert embeddings.similarities("radiograph of the thorax", many * 6) == pytest.approx(
        together * 6, abs=tolerance
    )


def test_no_texts_give_no_similarities(embeddings):
    assert embeddings.similarities("fever", []) == ()


def test_weights_with_another_digest_are_an_error(monkeypatch):
    monkeypatch.setattr("worker.engine.network.sentence_embeddings.EMBEDDING_MODEL_SHA256", "0" * 64)
    with pytest.raises(SentenceEmbeddingsError, match="make setup"):
        SentenceEmbeddings.load("cpu")


def test_compare_requests_and_results_are_values():
    assert CompareRequest("q", ("a",)) == CompareRequest("q", ("a",))
    assert len({CompareRequest("q", ("a",)), CompareRequest("q", ("a",))}) == 1
    assert CompareResult((0.5,)).similarities == (0.5,)
