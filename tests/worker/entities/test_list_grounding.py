"""Written mentions in their places: true characters, whole words, the occurrence that was meant."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.answers import Span
from worker.entities.list_grounding import GroundedMention, ListItem, ground, with_repeats
from worker.note.word_boundaries import is_whole

WORDS = [
    "pain",
    "chest",
    "chest pain",
    "x2",
    "non-tender",
    "Pain",
    "C5-C6",
    "aspirin",
    "of",
    "4.5",
    "胸痛",
    "no",
    "painful",
]
NOTES = st.lists(st.sampled_from([*WORDS, ".", ",", "\n", "  "]), max_size=40).map(" ".join)
LISTS = st.lists(
    st.builds(ListItem, st.sampled_from(["problem", "test"]), st.sampled_from([*WORDS, "C5", "tender", "x"])),
    max_size=15,
)


def placed(text: str, *items: tuple[str, str]) -> list[tuple[int, str, str]]:
    found = ground(text, Span(start=0, end=len(text)), [ListItem(*item) for item in items])
    return [(mention.start, text[mention.start : mention.end], mention.label) for mention in found.mentions]


@given(NOTES.filter(bool), LISTS)
def test_what_is_placed_is_the_written_surface_at_word_boundaries(text: str, items: list[ListItem]) -> None:
    written = {"".join(item.surface.lower().split()) for item in items}
    for mention in ground(text, Span(start=0, end=len(text)), items).mentions:
        assert is_whole(text, mention.start, mention.end)
        assert any(
            surface in "".join(text[mention.start : mention.end].lower().split()) for surface in written
        )


@given(NOTES.filter(bool), LISTS)
def test_places_are_disjoint_in_order_and_inside_the_window(text: str, items: list[ListItem]) -> None:
    window = Span(start=0, end=max(1, len(text) * 2 // 3))
    found = ground(text, window, items).mentions
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert all(mention.end <= window.end for mention in found)


@given(st.lists(st.sampled_from(["pain", "fever", "aspirin", "left arm", "ECG"]), min_size=1, max_size=30))
def test_a_list_of_every_mention_is_placed_on_every_mention(surfaces: list[str]) -> None:
    text = " and ".join(surfaces)
    found = placed(text, *[("problem", surface) for surface in surfaces])
    assert [surface for _, surface, _ in found] == surfaces


def test_a_repeated_word_is_the_mention_that_was_meant() -> None:
    text = "No pain at rest. Aspirin was given. Later there was pain and fever."
    assert placed(text, ("medication", "Aspirin"), ("problem", "pain"), ("problem", "fever"))[1][0] == 52


def test_of_equal_places_the_earliest_is_taken() -> None:
    assert placed("pain, then pain, then fever", ("problem", "pain"), ("problem", "fever"))[0][0] == 0


@pytest.mark.parametrize(
    ("text", "surface"),
    [
        ("painful", "pain"),
        ("x2", "2"),
        ("non-tender", "tender"),
        ("14.5", "4.5"),
        ("4.5", "5"),
        ("1,200", "200"),
        ("cafe\u0301", "cafe"),
    ],
)
def test_nothing_is_placed_inside_another_word_or_number(text: str, surface: str) -> None:
    found = ground(text, Span(start=0, end=len(text)), [ListItem("problem", surface)])
    assert (found.mentions, found.ungrounded) == ((), (0,))


@pytest.mark.parametrize(
    ("text", "surface"),
    [
        ("C5-C6", "C5"),
        ("患者胸痛三天", "胸痛"),
        ("taken x2 daily", "x2"),
        ("BP 150/90.", "150/90"),
        ("pain.", "pain"),
    ],
)
def test_parts_that_are_words_of_their_own_are_placed(text: str, surface: str) -> None:
    assert [found[1] for found in placed(text, ("problem", surface))] == [surface]


def test_a_word_of_its_own_is_preferred_to_one_in_a_compound() -> None:
    assert placed("A chest-tube. The chest is clear.", ("anatomy", "chest"))[0][0] == 18


def test_white_space_and_case_may_differ_where_the_exact_characters_are_missing() -> None:
    found = placed("CHEST\r\n  PAIN, 81mg", ("problem", "chest pain"), ("dosage", "81 mg"))
    assert [surface for _, surface, _ in found] == ["CHEST\r\n  PAIN", "81mg"]


def test_a_list_grouped_by_label_is_aligned_within_each_label() -> None:
    text = "pain, aspirin, fever, aspirin, pain, heparin"
    surfaces = [("problem", "pain"), ("problem", "fever"), ("problem", "pain")]
    medications = [("medication", "aspirin"), ("medication", "aspirin"), ("medication", "heparin")]
    assert len(placed(text, *surfaces, *medications)) == 6


def test_of_overlapping_mentions_the_longest_stays_and_one_label_merges() -> None:
    text = "left chest pain radiating"
    assert placed(text, ("anatomy", "chest"), ("problem", "chest pain")) == [(5, "chest pain", "problem")]
    assert placed(text, ("problem", "left chest"), ("problem", "chest pain")) == [
        (0, "left chest pain", "problem")
    ]


def test_an_item_written_more_often_than_it_occurs_is_reported() -> None:
    found = ground("pain", Span(start=0, end=4), [ListItem("problem", "pain"), ListItem("problem", "pain")])
    assert (len(found.mentions), found.ungrounded) == (1, (1,))


def test_spread_finds_the_occurrences_that_the_list_left_out() -> None:
    text = "Fever and PT today. The pt had fever, feverish. FEVER none."
    found = with_repeats(
        text,
        Span(start=0, end=len(text)),
        [GroundedMention(0, 5, "problem"), GroundedMention(10, 12, "test")],
    )
    assert [(text[m.start : m.end], m.label) for m in found] == [
        ("Fever", "problem"),
        ("PT", "test"),
        ("fever", "problem"),
        ("FEVER", "problem"),
    ]


@given(NOTES.filter(bool), LISTS)
def test_spread_keeps_what_was_placed_and_stays_disjoint(text: str, items: list[ListItem]) -> None:
    window = Span(start=0, end=len(text))
    first = ground(text, window, items).mentions
    found = with_repeats(text, window, first)
    assert set(first) <= set(found)
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert all(is_whole(text, mention.start, mention.end) for mention in found)
