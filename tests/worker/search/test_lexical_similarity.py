"""What a query and a sentence have in common beyond the very words."""

from __future__ import annotations

import pytest

from worker.note.abbreviations import abbreviation_expansions, query_variants
from worker.note.stemming import content_stems
from worker.search.lexical_similarity import lexical_similarities

NOTE = "Ataxia telangiectasia (A-T) is rare. The A-T gene. Others have Emery-Dreifuss muscular dystrophy."


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (NOTE, {"a-t": "ataxia telangiectasia"}),
        ("He has CHF (congestive heart failure).", {"chf": "congestive heart failure"}),
        ("She was seen (see below) and left (in 2001).", {}),
    ],
)
def test_an_abbreviation_stands_for_the_words_that_have_its_letters(text, found):
    assert abbreviation_expansions(text) == found


def test_a_query_is_worded_with_and_without_abbreviations():
    explained = {"a-t": "ataxia telangiectasia"}
    assert query_variants("A-T gene", explained) == ["a-t gene", "ataxia telangiectasia gene"]
    assert query_variants("ataxia telangiectasia", explained) == ["ataxia telangiectasia", "a-t"]


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("ataxia telangiectasia gene", 1),
        ("EDMD", 2),
        ("kidney", 3),
        ("deficient enzymes", 4),
    ],
)
def test_a_sentence_is_found_by_another_name_of_what_it_says(query, best):
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


def test_the_word_itself_is_worth_more_than_a_synonym():
    [word, synonym] = _shares("tumor", ["A tumor.", "A carcinoma."], "")
    assert word > synonym > 0


def test_a_query_without_content_words_has_nothing_in_common():
    assert _shares("what is it", ["It is what it is."], "") == [0.0]


def _shares(query, sentences, note):
    return lexical_similarities(
        query, [content_stems(one) for one in sentences], note, abbreviation_expansions(note)
    )
