"""Grounding of generated lists: exact characters, whole words, and the intended occurrence."""

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


def grounded_mentions(text: str, *items: tuple[str, str]) -> list[tuple[int, str, str]]:
    grounding = ground(text, Span(start=0, end=len(text)), [ListItem(*item) for item in items])
    return [
        (mention.start, text[mention.start : mention.end], mention.label) for mention in grounding.mentions
    ]


@given(NOTES.filter(bool), LISTS)
def test_a_grounded_mention_holds_a_listed_surface_at_word_boundaries(
    text: str, items: list[ListItem]
) -> None:
    surfaces = {"".join(item.surface.lower().split()) for item in items}
    for mention in ground(text, Span(start=0, end=len(text)), items).mentions:
        assert is_whole(text, mention.start, mention.end)
        assert any(
            surface in "".join(text[mention.start : mention.end].lower().split()) for surface in surfaces
        )


@given(NOTES.filter(bool), LISTS)
def test_grounded_mentions_are_disjoint_ordered_and_inside_the_window(
    text: str, items: list[ListItem]
) -> None:
    window = Span(start=0, end=max(1, len(text) * 2 // 3))
    mentions = ground(text, window, items).mentions
    assert all(before.end <= after.start for before, after in pairwise(mentions))
    assert all(mention.end <= window.end for mention in mentions)


@given(st.lists(st.sampled_from(["pain", "fever", "aspirin", "left arm", "ECG"]), min_size=1, max_size=30))
def test_a_list_of_all_mentions_is_grounded_on_all_mentions(surfaces: list[str]) -> None:
    text = " and ".join(surfaces)
    mentions = grounded_mentions(text, *[("problem", surface) for surface in surfaces])
    assert [surface for _, surface, _ in mentions] == surfaces


def test_the_order_of_the_list_selects_among_repeated_words() -> None:
    text = "No pain at rest. Aspirin was given. Later there was pain and fever."
    assert (
        grounded_mentions(text, ("medication", "Aspirin"), ("problem", "pain"), ("problem", "fever"))[1][0]
        == 52
    )


def test_the_earliest_of_equally_good_occurrences_is_used() -> None:
    assert (
        grounded_mentions("pain, then pain, then fever", ("problem", "pain"), ("problem", "fever"))[0][0] == 0
    )


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
def test_no_item_is_grounded_inside_another_word_or_number(text: str, surface: str) -> None:
    grounding = ground(text, Span(start=0, end=len(text)), [ListItem("problem", surface)])
    assert (grounding.mentions, grounding.ungrounded) == ((), (0,))


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
def test_a_part_that_is_a_word_of_its_own_is_grounded(text: str, surface: str) -> None:
    assert [mention[1] for mention in grounded_mentions(text, ("problem", surface))] == [surface]


def test_a_separate_word_is_preferred_to_a_part_of_a_compound() -> None:
    assert grounded_mentions("A chest-tube. The chest is clear.", ("anatomy", "chest"))[0][0] == 18


def test_white_space_and_case_may_differ_where_the_exact_characters_are_missing() -> None:
    mentions = grounded_mentions("CHEST\r\n  PAIN, 81mg", ("problem", "chest pain"), ("dosage", "81 mg"))
    assert [surface for _, surface, _ in mentions] == ["CHEST\r\n  PAIN", "81mg"]


def test_a_list_grouped_by_label_is_aligned_within_each_label() -> None:
    text = "pain, aspirin, fever, aspirin, pain, heparin"
    surfaces = [("problem", "pain"), ("problem", "fever"), ("problem", "pain")]
    medications = [("medication", "aspirin"), ("medication", "aspirin"), ("medication", "heparin")]
    assert len(grounded_mentions(text, *surfaces, *medications)) == 6


def test_overlapping_mentions_merge_within_a_label_and_otherwise_the_longest_stays() -> None:
    text = "left chest pain radiating"
    assert grounded_mentions(text, ("anatomy", "chest"), ("problem", "chest pain")) == [
        (5, "chest pain", "problem")
    ]
    assert grounded_mentions(text, ("problem", "left chest"), ("problem", "chest pain")) == [
        (0, "left chest pain", "problem")
    ]


def test_an_item_generated_more_often_than_it_occurs_is_ungrounded() -> None:
    grounding = ground(
        "pain", Span(start=0, end=4), [ListItem("problem", "pain"), ListItem("problem", "pain")]
    )
    assert (len(grounding.mentions), grounding.ungrounded) == (1, (1,))


def test_repeats_add_the_occurrences_that_the_list_omits() -> None:
    text = "Fever and PT today. The pt had fever, feverish. FEVER none."
    mentions = with_repeats(
        text,
        Span(start=0, end=len(text)),
        [GroundedMention(0, 5, "problem"), GroundedMention(10, 12, "test")],
    )
    assert [(text[m.start : m.end], m.label) for m in mentions] == [
        ("Fever", "problem"),
        ("PT", "test"),
        ("fever", "problem"),
        ("FEVER", "problem"),
    ]


@given(NOTES.filter(bool), LISTS)
def test_repeats_keep_the_grounded_mentions_and_stay_disjoint(text: str, items: list[ListItem]) -> None:
    window = Span(start=0, end=len(text))
    grounded = ground(text, window, items).mentions
    mentions = with_repeats(text, window, grounded)
    assert set(grounded) <= set(mentions)
    assert all(before.end <= after.start for before, after in pairwise(mentions))
    assert all(is_whole(text, mention.start, mention.end) for mention in mentions)
