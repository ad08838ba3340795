"""Queries for a whole aspect of a note, and what tells of it."""

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
def meaning() -> SentenceEmbeddings:
    return SentenceEmbeddings.load("cpu")


def asked(meaning: SentenceEmbeddings, query: str) -> frozenset[str]:
    return intent_labels(query, meaning.similarities(query, intent_wordings()), RankingModel().min_similarity)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("What medications was the patient sent home on?", {"medication"}),
        ("Which drugs was she given?", {"medication"}),
        ("What is the plan?", {"plan"}),
        ("test results", {"test", "value"}),
    ],
)
def test_a_query_for_an_aspect_asks_for_what_tells_of_it(
    meaning: SentenceEmbeddings, query: str, told: set[str]
) -> None:
    assert told <= asked(meaning, query)


@pytest.mark.parametrize(
    "query", ["Is there any sign of infection?", "family history of cancer", "myocardial infarction", ""]
)
def test_a_query_with_a_word_of_its_own_names_a_thing(meaning: SentenceEmbeddings, query: str) -> None:
    assert asked(meaning, query) == frozenset()


def test_a_sentence_tells_by_what_is_marked_in_it_and_by_its_kind() -> None:
    note = Note.of(TEXT, lambda piece: len(piece.split()), 400, 400)
    aspirin = TEXT.index("aspirin")
    mentions = [Mention(aspirin, aspirin + 7, "medication", 0.8)]
    plan = {"plan": 0.9, "other": 0.1}
    kinds = [(Span(start=one.start, end=one.end), plan if "weeks" in TEXT[one.start : one.end] else {})
             for one in note.sentences]  # fmt: skip
    [first, second, third] = [one.start for one in note.sentences]
    assert intent_scores(note, frozenset({"medication"}), mentions, kinds)[first] == 0.8
    told = intent_scores(note, frozenset({"plan"}), mentions, kinds)
    assert (told[first], told[second], told[third]) == (0.0, 0.0, 0.9)


def test_a_join_is_read_as_it_was_stored() -> None:
    join = RankingModel(RankingWeights(words=2.0), RankingWeights(intent_score=3.0), threshold=0.4)
    assert RankingModel.of(join.stored()) == join
    assert RankingModel.of({}) == RankingModel()
    assert not RankingModel().compares_texts
