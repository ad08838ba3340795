"""Scores of an evaluation against values computed by hand, and what must hold for any data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.evaluation import link_evaluation
from training.evaluation.link_evaluation import Link
from training.evaluation.metrics import ranking_metrics
from training.evaluation.metrics.calibration_error import expected_error, reliability
from training.evaluation.metrics.counts import Counts, figures, mean_interval
from training.evaluation.metrics.faithfulness_metrics import judge
from training.evaluation.metrics.span_matching import Marked, overlap, strict

GOLD = [Marked(0, 5, "problem"), Marked(10, 20, "problem"), Marked(30, 35, "test")]
FOUND = [
    Marked(0, 5, "problem"),
    Marked(12, 20, "problem"),
    Marked(30, 35, "problem"),
    Marked(40, 41, "test"),
]
SPANS = st.lists(
    st.builds(
        lambda start, size, label: Marked(start, start + size, label),
        *(st.integers(0, 30), st.integers(1, 6), st.sampled_from(["problem", "test"])),
    ),
    max_size=8,
)
RANKED = st.lists(st.booleans(), min_size=1, max_size=20)


def test_a_strict_span_has_start_end_and_label_of_a_gold_one():
    counts = strict(FOUND, GOLD)
    assert (counts.precision, counts.recall) == (1 / 4, 1 / 3)
    assert counts.f1 == pytest.approx(2 / 7)


def test_an_overlapping_span_needs_one_character_in_common_and_the_label():
    counts = overlap(FOUND, GOLD)
    assert (counts.precision, counts.recall) == (2 / 4, 2 / 3)
    assert counts.f1 == pytest.approx(4 / 7)


@given(SPANS, SPANS)
def test_overlap_is_never_stricter_than_strict_and_both_are_shares(found, gold):
    one, other = strict(found, gold), overlap(found, gold)
    assert one.precision <= other.precision <= 1
    assert one.recall <= other.recall <= 1
    assert 0 <= one.f1 <= other.f1 + 1e-9


@given(SPANS)
def test_the_gold_spans_themselves_are_all_right(gold):
    for counts in (strict(gold, gold), overlap(gold, gold)):
        assert counts.f1 == (1.0 if gold else 0.0)


def test_micro_figures_add_records_before_they_divide():
    told = figures([Counts(1, 1, 1, 1), Counts(0, 3, 0, 1)])
    assert (told["precision"], told["recall"]) == (0.25, 0.5)
    assert told["f1"] == 0.3333


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=6))
def test_an_interval_holds_its_figure_and_lies_between_nothing_and_all(rows):
    told = figures([Counts(right, right + wrong, right, right + missed) for right, wrong, missed in rows])
    for name in ("precision", "recall", "f1"):
        low, high = told[f"{name}_interval"]
        assert 0 <= low <= told[name] + 1e-4
        assert told[name] - 1e-4 <= high <= 1


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
def test_relevant_ones_first_are_a_perfect_ranking(relevant):
    best = sorted(relevant, reverse=True)
    for measure in (ranking_metrics.average_precision, ranking_metrics.r_precision, ranking_metrics.ndcg):
        assert measure(best) == pytest.approx(1.0 if any(relevant) else 0.0)
        assert 0 <= measure(relevant) <= measure(best) + 1e-9


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.9]), st.booleans()), min_size=1, max_size=12))
def test_no_threshold_makes_a_better_set_than_the_best_one(rows):
    scores, relevant = [[one for one, _ in rows]], [[hit for _, hit in rows]]
    best = ranking_metrics.set_counts(
        scores[0], relevant[0], ranking_metrics.best_threshold(scores, relevant)
    ).f1
    for threshold in (0.0, 0.1, 0.2, 0.3, 0.9, 1.0):
        assert ranking_metrics.set_counts(scores[0], relevant[0], threshold).f1 <= best + 1e-9


def test_equal_scores_rank_in_the_order_of_the_note():
    assert ranking_metrics.order([0.5, 0.9, 0.5]) == [1, 0, 2]


def test_honest_probabilities_have_no_expected_error_and_boasting_ones_do():
    honest = reliability([0.75] * 4, [True, True, True, False])
    assert expected_error(honest) == 0
    assert expected_error(reliability([0.95] * 2, [False, False])) == pytest.approx(0.95)


def test_a_link_is_strict_with_both_spans_and_overlaps_with_a_part_of_each():
    gold = {Link(0, 5, "dosage", 10, 17)}
    for found, is_strict, is_near in (
        (Link(0, 5, "dosage", 10, 17), 1, 1),
        (Link(0, 4, "dosage", 10, 14), 0, 1),
        (Link(0, 5, "route", 10, 17), 0, 0),
        (Link(0, 5, "dosage", 20, 27), 0, 0),
    ):
        assert link_evaluation.strict({found}, gold).found_right == is_strict
        assert link_evaluation.overlap({found}, gold).found_right == is_near


def test_a_part_of_a_gold_attribute_under_another_kind_counts_nowhere_by_overlap():
    gold, daily = {Link(0, 11, "dosage", 20, 27)}, Link(6, 11, "frequency", 20, 27)
    told = link_evaluation.measure([{Link(0, 5, "dosage", 20, 27), daily}], [gold], ["dosage", "frequency"])
    assert told["overlap"]["precision"] == 1.0
    assert told["strict"]["precision"] == 0.0


def test_what_a_summary_adds_to_its_note_is_counted_and_named():
    note = "Took aspirin 81 mg for chest pain. No fever."
    told = judge(note, "Aspirin 81 mg, warfarin 5 mg.", (), ())
    assert (told.numbers.found_right, told.numbers.found) == (1, 2)
    assert (told.medications.found_right, told.medications.found) == (1, 2)
    assert set(told.unfaithful) == {"5", "warfarin"}
