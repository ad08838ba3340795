"""Query intents: queries for a whole aspect of a note, and the sentences that answer them."""

from __future__ import annotations

import pytest

from models.answers import Span
from worker.engine.network.sentence_embeddings import SentenceEmbeddings
from worker.entities.window_tagging import Mention
from worker.note.parsed_note import Note
from worker.search.query_intents import intent_labels, intent_scores, intent_wordings
from worker.weights.ranking_model import RankingModel, RankingWeights

TEXT = "She takes aspirin daily. The x-ray was clear. Come back in two weeks."


@pytest.fixture(scope="module")
def embeddings() -> SentenceEmbeddings:
    return SentenceEmbeddings.load("cpu")


def labels_asked_for(embeddings: SentenceEmbeddings, query: str) -> frozenset[str]:
    return intent_labels(
        query, embeddings.similarities(query, intent_wordings()), RankingModel().min_similarity
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("What medications was the patient sent home on?", {"medication"}),
        ("Which drugs was she given?", {"medication"}),
        ("What is the plan?", {"plan"}),
        ("test results", {"test", "value"}),
    ],
)
def test_a_query_with_an_intent_asks_for_its_labels(
    embeddings: SentenceEmbeddings, query: str, expected: set[str]
) -> None:
    assert expected <= labels_asked_for(embeddings, query)


@pytest.mark.parametrize(
    "query", ["Is there any sign of infection?", "family history of cancer", "myocardial infarction", ""]
)
def test_a_query_with_other_content_words_has_no_intent(embeddings: SentenceEmbeddings, query: str) -> None:
    assert labels_asked_for(embeddings, query) == frozenset()


def test_a_sentence_is_scored_by_its_mentions_and_its_kind() -> None:
    note = Note.of(TEXT, lambda part: len(part.split()), 400, 400)
    aspirin = TEXT.index("aspirin")
    mentions = [Mention(aspirin, aspirin + 7, "medication", 0.8)]
    plan = {"plan": 0.9, "other": 0.1}
    kinds = [
        (
            Span(start=sentence.start, end=sentence.end),
            plan if "weeks" in TEXT[sentence.start : sentence.end] else {},
        )
        for sentence in note.sentences
    ]
    [first, second, third] = [sentence.start for sentence in note.sentences]
    assert intent_scores(note, frozenset({"medication"}), mentions, kinds)[first] == 0.8
    scores = intent_scores(note, frozenset({"plan"}), mentions, kinds)
    assert (scores[first], scores[second], scores[third]) == (0.0, 0.0, 0.9)


def test_a_stored_ranking_model_is_read_back() -> None:
    model = RankingModel(RankingWeights(words=2.0), RankingWeights(intent_score=3.0), threshold=0.4)
    assert RankingModel.of(model.stored()) == model
    assert RankingModel.of({}) == RankingModel()
    assert not RankingModel().compares_texts
