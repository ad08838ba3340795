"""Evaluation scores: values computed by hand, and properties for any data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation import link_evaluation
from training.evaluation.link_evaluation import Link
from training.evaluation.metrics import ranking_metrics
from training.evaluation.metrics.calibration_error import expected_error, reliability
from training.evaluation.metrics.counts import Counts, figures, mean_interval
from training.evaluation.metrics.faithfulness_metrics import faithfulness_of
from training.evaluation.metrics.span_matching import LabeledSpan, overlap, strict

GOLD = [LabeledSpan(0, 5, "problem"), LabeledSpan(10, 20, "problem"), LabeledSpan(30, 35, "test")]
PREDICTED = [
    LabeledSpan(0, 5, "problem"),
    LabeledSpan(12, 20, "problem"),
    LabeledSpan(30, 35, "problem"),
    LabeledSpan(40, 41, "test"),
]
SPANS = st.lists(
    st.builds(
        lambda start, size, label: LabeledSpan(start, start + size, label),
        *(st.integers(0, 30), st.integers(1, 6), st.sampled_from(["problem", "test"])),
    ),
    max_size=8,
)
RANKED = st.lists(st.booleans(), min_size=1, max_size=20)


def test_a_strict_match_has_start_end_and_label_of_a_gold_span():
    counts = strict(PREDICTED, GOLD)
    assert (counts.precision, counts.recall) == (1 / 4, 1 / 3)
    assert counts.f1 == pytest.approx(2 / 7)


def test_an_overlap_match_needs_one_common_character_and_the_label():
    counts = overlap(PREDICTED, GOLD)
    assert (counts.precision, counts.recall) == (2 / 4, 2 / 3)
    assert counts.f1 == pytest.approx(4 / 7)


@given(SPANS, SPANS)
def test_overlap_scores_are_at_least_strict_scores_and_both_are_between_0_and_1(predicted, gold):
    strict_counts, overlap_counts = strict(predicted, gold), overlap(predicted, gold)
    assert strict_counts.precision <= overlap_counts.precision <= 1
    assert strict_counts.recall <= overlap_counts.recall <= 1
    assert 0 <= strict_counts.f1 <= overlap_counts.f1 + 1e-9


@given(SPANS)
def test_gold_spans_score_1_against_themselves(gold):
    for counts in (strict(gold, gold), overlap(gold, gold)):
        assert counts.f1 == (1.0 if gold else 0.0)


def test_micro_scores_sum_counts_before_dividing():
    scores = figures([Counts(1, 1, 1, 1), Counts(0, 3, 0, 1)])
    assert (scores["precision"], scores["recall"]) == (0.25, 0.5)
    assert scores["f1"] == 0.3333


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=6))
def test_an_interval_contains_its_score_and_lies_between_0_and_1(rows):
    scores = figures([Counts(right, right + wrong, right, right + missed) for right, wrong, missed in rows])
    for name in ("precision", "recall", "f1"):
        low, high = scores[f"{name}_interval"]
        assert 0 <= low <= scores[name] + 1e-4
        assert scores[name] - 1e-4 <= high <= 1


def test_an_interval_of_equal_values_is_a_point_and_that_of_more_records_is_narrower():
    assert mean_interval([0.5] * 9) == [0.5, 0.5]
    few, many = mean_interval([0.0, 1.0] * 5), mean_interval([0.0, 1.0] * 500)
    assert many[1] - many[0] < few[1] - few[0]


def test_rankings_have_the_values_computed_by_hand():
    ranked = [True, False, True, False]
    assert ranking_metrics.average_precision(ranked) == pytest.approx((1 + 2 / 3) / 2)
    assert ranking_metrics.r_precision(ranked) == 0.5
    assert ranking_metrics.ndcg(ranked) == pytest.approx(1.5 / (1 + 0.6309297536))


@given(RANKED)
def test_relevant_items_first_are_a_perfect_ranking(relevant):
    best = sorted(relevant, reverse=True)
    for measure in (ranking_metrics.average_precision, ranking_metrics.r_precision, ranking_metrics.ndcg):
        assert measure(best) == pytest.approx(1.0 if any(relevant) else 0.0)
        assert 0 <= measure(relevant) <= measure(best) + 1e-9


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.9]), st.booleans()), min_size=1, max_size=12))
def test_no_threshold_beats_the_best_threshold(rows):
    scores, relevant = [[score for score, _ in rows]], [[hit for _, hit in rows]]
    best = ranking_metrics.set_counts(
        scores[0], relevant[0], ranking_metrics.best_threshold(scores, relevant)
    ).f1
    for threshold in (0.0, 0.1, 0.2, 0.3, 0.9, 1.0):
        assert ranking_metrics.set_counts(scores[0], relevant[0], threshold).f1 <= best + 1e-9


def test_equal_scores_rank_in_the_order_of_the_note():
    assert ranking_metrics.order([0.5, 0.9, 0.5]) == [1, 0, 2]


def test_calibrated_probabilities_have_no_expected_error_and_overconfident_ones_do():
    honest = reliability([0.75] * 4, [True, True, True, False])
    assert expected_error(honest) == 0
    assert expected_error(reliability([0.95] * 2, [False, False])) == pytest.approx(0.95)


def test_a_strict_link_has_both_exact_spans_and_an_overlapping_link_a_part_of_each():
    gold = {Link(0, 5, "dosage", 10, 17)}
    for link, is_strict, is_overlapping in (
        (Link(0, 5, "dosage", 10, 17), 1, 1),
        (Link(0, 4, "dosage", 10, 14), 0, 1),
        (Link(0, 5, "route", 10, 17), 0, 0),
        (Link(0, 5, "dosage", 20, 27), 0, 0),
    ):
        assert link_evaluation.strict({link}, gold).predicted_right == is_strict
        assert link_evaluation.overlap({link}, gold).predicted_right == is_overlapping


def test_a_part_of_a_gold_attribute_of_another_kind_is_not_counted_by_overlap():
    gold, daily = {Link(0, 11, "dosage", 20, 27)}, Link(6, 11, "frequency", 20, 27)
    scores = link_evaluation.measure([{Link(0, 5, "dosage", 20, 27), daily}], [gold], ["dosage", "frequency"])
    assert scores["overlap"]["precision"] == 1.0
    assert scores["strict"]["precision"] == 0.0


def test_numbers_and_medications_missing_in_the_note_are_counted_and_named():
    note = "Took aspirin 81 mg for chest pain. No fever."
    faithfulness = faithfulness_of(note, "Aspirin 81 mg, warfarin 5 mg.", (), ())
    assert (faithfulness.numbers.predicted_right, faithfulness.numbers.predicted) == (1, 2)
    assert (faithfulness.medications.predicted_right, faithfulness.medications.predicted) == (1, 2)
    assert set(faithfulness.unfaithful) == {"5", "warfarin"}
