"""Lexical similarity of a query and a sentence: abbreviations, synonyms and word forms."""

from __future__ import annotations

import pytest

from worker.note.abbreviations import abbreviation_expansions, query_variants
from worker.note.stemming import content_stems
from worker.search.lexical_similarity import lexical_similarities

NOTE = "Ataxia telangiectasia (A-T) is rare. The A-T gene. Others have Emery-Dreifuss muscular dystrophy."


@pytest.mark.parametrize(
    ("text", "expansions"),
    [
        (NOTE, {"a-t": "ataxia telangiectasia"}),
        ("He has CHF (congestive heart failure).", {"chf": "congestive heart failure"}),
        ("She was seen (see below) and left (in 2001).", {}),
    ],
)
def test_an_abbreviation_expands_to_the_words_with_its_letters(text, expansions):
    assert abbreviation_expansions(text) == expansions


def test_a_query_has_variants_with_and_without_abbreviations():
    expansions = {"a-t": "ataxia telangiectasia"}
    assert query_variants("A-T gene", expansions) == ["a-t gene", "ataxia telangiectasia gene"]
    assert query_variants("ataxia telangiectasia", expansions) == ["ataxia telangiectasia", "a-t"]


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("ataxia telangiectasia gene", 1),
        ("EDMD", 2),
        ("kidney", 3),
        ("deficient enzymes", 4),
    ],
)
def test_a_sentence_matches_abbreviations_synonyms_and_word_forms(query, best):
    sentences = [
        "It is rare.",
        "The A-T gene.",
        "Emery-Dreifuss muscular dystrophy.",
        "Renal failure.",
        "No deficiency.",
    ]
    note = NOTE + " ".join(sentences)
    shares = _shares(query, sentences, note)
    assert max(range(5), key=shares.__getitem__) == best
    assert shares[0] == 0


def test_the_word_itself_scores_higher_than_a_synonym():
    [word, synonym] = _shares("tumor", ["A tumor.", "A carcinoma."], "")
    assert word > synonym > 0


def test_a_query_without_content_words_is_similar_to_nothing():
    assert _shares("what is it", ["It is what it is."], "") == [0.0]


def _shares(query, sentences, note):
    return lexical_similarities(
        query, [content_stems(sentence) for sentence in sentences], note, abbreviation_expansions(note)
    )
