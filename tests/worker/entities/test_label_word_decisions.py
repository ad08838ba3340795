"""Marks from label-word probabilities: legal paths, whole words, true spans."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.prompting.label_words import tag_words, tagged_labels
from worker.entities.bio_decoding import decode_mentions

LABELS = tagged_labels(["problem", "medication"])
TEXT = "severe chest pain and aspirin"
TOKENS = [(0, 6), (7, 12), (13, 17), (18, 21), (22, 26), (26, 29)]


def scores(*words: str) -> np.ndarray:
    """Nearly all probability on one word a token."""
    column = {word: place for place, word in enumerate(tag_words(LABELS))}
    found = np.full((len(words), len(column)), -6.0, dtype=np.float32)
    for place, word in enumerate(words):
        found[place, column[word]] = -0.01
    return found


def test_start_and_inside_become_one_span():
    marks = decode_mentions(TEXT, TOKENS, scores("-", "P", "p", "-", "M", "m"), LABELS)
    assert [(TEXT[m.start : m.end], m.label) for m in marks] == [
        ("chest pain", "problem"),
        ("aspirin", "medication"),
    ]
    assert all(0.9 < mark.probability <= 1 for mark in marks)


def test_an_inside_without_its_start_is_not_taken_as_it_stands():
    found = scores("-", "-", "p", "-", "-", "-")
    found[1, 1] = -0.5  # a start just before is likelier than no entity at all
    assert [TEXT[m.start : m.end] for m in decode_mentions(TEXT, TOKENS, found, LABELS)] == ["chest pain"]


def test_neighbours_of_one_label_are_one_mention_and_of_two_labels_two():
    same = decode_mentions(TEXT, TOKENS, scores("-", "P", "P", "-", "-", "-"), LABELS)
    other = decode_mentions(TEXT, TOKENS, scores("-", "P", "M", "-", "-", "-"), LABELS)
    assert [TEXT[m.start : m.end] for m in same] == ["chest pain"]
    assert [TEXT[m.start : m.end] for m in other] == ["chest", "pain"]


def test_what_a_comma_parts_stays_two_mentions():
    marks = decode_mentions("pain, fever", [(0, 4), (4, 5), (6, 11)], scores("P", "-", "P"), LABELS)
    assert len(marks) == 2


@pytest.mark.parametrize(("goes_on", "marked"), [(-2.0, ["aspirin"]), (-7.0, [])])
def test_a_mark_that_cuts_a_word_takes_the_whole_word_if_that_is_likelier_than_nothing(goes_on, marked):
    found = scores("-", "-", "-", "-", "M", "-")
    found[5, 4] = goes_on
    assert [TEXT[m.start : m.end] for m in decode_mentions(TEXT, TOKENS, found, LABELS)] == marked


def test_what_an_engine_rules_out_is_ruled_out_and_the_rest_has_a_probability():
    never = np.full((6, 5), -np.inf, dtype=np.float32)
    never[:, 0] = 0.0
    never[2] = [-np.inf, 0.0, -np.inf, -np.inf, -np.inf]
    [mark] = decode_mentions(TEXT, TOKENS, never, LABELS)
    assert (TEXT[mark.start : mark.end], mark.probability) == ("pain", pytest.approx(1.0))
    never[2] = -np.inf
    assert all(0 <= one.probability <= 1 for one in decode_mentions(TEXT, TOKENS, never, LABELS))


def test_letters_are_the_first_free_ones_of_the_names():
    names = ["problem", "procedure", "test", "treatment"]
    assert [(one.start, one.inside) for one in tagged_labels(names)] == [
        ("P", "p"),
        ("R", "r"),
        ("T", "t"),
        ("E", "e"),
    ]


def test_more_than_26_labels_are_refused():
    with pytest.raises(ValueError, match="26"):
        tagged_labels([f"label{n}" for n in range(27)])


@given(st.text(min_size=1, max_size=60), st.randoms())
def test_whatever_the_scores_spans_are_true_ordered_and_disjoint(text, chance):
    cuts = sorted({0, len(text), *(chance.randrange(len(text) + 1) for _ in range(12))})
    tokens = list(pairwise(cuts))
    found = np.log(np.random.default_rng(chance.randrange(9_999)).dirichlet([0.3] * 5, len(tokens)) + 1e-9)
    end = 0
    for mark in decode_mentions(text, tokens, found.astype(np.float32), LABELS):
        assert end <= mark.start < mark.end <= len(text)
        assert text[mark.start : mark.end].strip() == text[mark.start : mark.end]
        end = mark.end
