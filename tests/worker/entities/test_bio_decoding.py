"""BIO decoding of label-word probabilities: legal paths, whole words, exact spans."""

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
    """Returns log-probabilities that put nearly all probability on one word for each token."""
    column = {word: index for index, word in enumerate(tag_words(LABELS))}
    log_probabilities = np.full((len(words), len(column)), -6.0, dtype=np.float32)
    for index, word in enumerate(words):
        log_probabilities[index, column[word]] = -0.01
    return log_probabilities


def test_start_and_inside_become_one_span():
    mentions = decode_mentions(TEXT, TOKENS, scores("-", "P", "p", "-", "M", "m"), LABELS)
    assert [(TEXT[mention.start : mention.end], mention.label) for mention in mentions] == [
        ("chest pain", "problem"),
        ("aspirin", "medication"),
    ]
    assert all(0.9 < mention.probability <= 1 for mention in mentions)


def test_an_inside_tag_without_a_start_tag_is_not_decoded():
    log_probabilities = scores("-", "-", "p", "-", "-", "-")
    log_probabilities[1, 1] = -0.5  # a start just before is likelier than no entity at all
    assert [TEXT[m.start : m.end] for m in decode_mentions(TEXT, TOKENS, log_probabilities, LABELS)] == [
        "chest pain"
    ]


def test_neighbours_of_one_label_are_one_mention_and_of_two_labels_two():
    same = decode_mentions(TEXT, TOKENS, scores("-", "P", "P", "-", "-", "-"), LABELS)
    other = decode_mentions(TEXT, TOKENS, scores("-", "P", "M", "-", "-", "-"), LABELS)
    assert [TEXT[m.start : m.end] for m in same] == ["chest pain"]
    assert [TEXT[m.start : m.end] for m in other] == ["chest", "pain"]


def test_mentions_separated_by_a_comma_stay_two():
    mentions = decode_mentions("pain, fever", [(0, 4), (4, 5), (6, 11)], scores("P", "-", "P"), LABELS)
    assert len(mentions) == 2


@pytest.mark.parametrize(("inside_log_probability", "expected"), [(-2.0, ["aspirin"]), (-7.0, [])])
def test_a_mention_that_cuts_a_word_takes_the_whole_word_if_that_is_likelier_than_no_mention(
    inside_log_probability, expected
):
    log_probabilities = scores("-", "-", "-", "-", "M", "-")
    log_probabilities[5, 4] = inside_log_probability
    assert [
        TEXT[m.start : m.end] for m in decode_mentions(TEXT, TOKENS, log_probabilities, LABELS)
    ] == expected


def test_tags_with_probability_zero_are_never_decoded():
    log_probabilities = np.full((6, 5), -np.inf, dtype=np.float32)
    log_probabilities[:, 0] = 0.0
    log_probabilities[2] = [-np.inf, 0.0, -np.inf, -np.inf, -np.inf]
    [mention] = decode_mentions(TEXT, TOKENS, log_probabilities, LABELS)
    assert (TEXT[mention.start : mention.end], mention.probability) == ("pain", pytest.approx(1.0))
    log_probabilities[2] = -np.inf
    assert all(
        0 <= mention.probability <= 1 for mention in decode_mentions(TEXT, TOKENS, log_probabilities, LABELS)
    )


def test_each_label_has_the_first_unused_letter_of_its_name():
    names = ["problem", "procedure", "test", "treatment"]
    assert [(label.start, label.inside) for label in tagged_labels(names)] == [
        ("P", "p"),
        ("R", "r"),
        ("T", "t"),
        ("E", "e"),
    ]


def test_more_than_26_labels_are_refused():
    with pytest.raises(ValueError, match="26"):
        tagged_labels([f"label{n}" for n in range(27)])


@given(st.text(min_size=1, max_size=60), st.randoms())
def test_spans_are_ordered_disjoint_and_trimmed_for_any_scores(text, chance):
    cuts = sorted({0, len(text), *(chance.randrange(len(text) + 1) for _ in range(12))})
    tokens = list(pairwise(cuts))
    log_probabilities = np.log(
        np.random.default_rng(chance.randrange(9_999)).dirichlet([0.3] * 5, len(tokens)) + 1e-9
    )
    end = 0
    for mention in decode_mentions(text, tokens, log_probabilities.astype(np.float32), LABELS):
        assert end <= mention.start < mention.end <= len(text)
        assert text[mention.start : mention.end].strip() == text[mention.start : mention.end]
        end = mention.end
