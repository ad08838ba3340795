"""Attribute patterns link doses, frequencies, routes and values to their mention, with exact offsets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.answers import Span
from models.labels import Label, load_labels
from worker.entities.attribute_patterns import attributes_by_pattern, medication_name_within
from worker.entities.list_grounding import ListItem, ground

NAMES = {"m": "medication", "t": "test"}


def linked(
    sentence: str, *names: str, labels: tuple[Label, ...] = load_labels()
) -> list[tuple[str, str, str]]:
    items = [ListItem(NAMES[name[0]], name[2:]) for name in names]
    placed = ground(sentence, Span(start=0, end=len(sentence)), items).mentions
    attributes = attributes_by_pattern(sentence, 0, placed, labels)
    return [(sentence[placed[index].start : placed[index].end], a.kind, a.text) for index, a in attributes]


def test_each_medication_of_a_list_has_its_own_dose_route_and_frequency() -> None:
    attributes = linked("aspirin 81 mg p.o. daily and metoprolol 25 mg b.i.d.", "m:aspirin", "m:metoprolol")
    assert attributes == [
        ("aspirin", "dosage", "81 mg"),
        ("aspirin", "route", "p.o."),
        ("aspirin", "frequency", "daily"),
        ("metoprolol", "dosage", "25 mg"),
        ("metoprolol", "frequency", "b.i.d."),
    ]


@pytest.mark.parametrize(
    ("sentence", "kind", "text"),
    [
        ("10 cc of 0.5% Drug plain was injected.", "dosage", "10 cc of 0.5%"),
        ("Drug two puffs for wheezing.", "dosage", "two puffs"),
        ("Drug inhaler q.6h p.r.n. wheezing.", "frequency", "q.6h p.r.n."),
        ("Drug is taken twice daily.", "frequency", "twice daily"),
        ("She was given IV Drug.", "route", "IV"),
        ("Drug was taken orally.", "route", "orally"),
    ],
)
def test_attributes_are_recognized_in_common_prescription_formats(
    sentence: str, kind: str, text: str
) -> None:
    assert ("Drug", kind, text) in linked(sentence, "m:Drug")


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        ("Assay of 150/90.", "150/90"),
        ("Assay = 12.3 g/dL.", "12.3 g/dL"),
        ("Assay 98.6, and so on.", "98.6"),
        ("Assay was 4.5 today.", "4.5"),
        ("The Assay was negative.", "negative"),
        ("Assay 12 mg/dL (normal <10 mg/dL).", "12 mg/dL"),
    ],
)
def test_the_value_of_a_test_is_found(sentence: str, value: str) -> None:
    assert linked(sentence, "t:Assay") == [("Assay", "value", value)]


def test_tests_that_share_a_verb_share_their_value() -> None:
    attributes = linked("Urea, sodium and glucose were normal.", "t:Urea", "t:sodium", "t:glucose")
    assert [(name, text) for name, _, text in attributes] == [
        ("Urea", "normal"),
        ("sodium", "normal"),
        ("glucose", "normal"),
    ]


def test_days_figures_and_reference_ranges_are_no_values() -> None:
    assert linked("Assay after 30 days (Figure 1), reference 3-5.", "t:Assay") == []


def test_only_attribute_kinds_of_the_labels_are_returned() -> None:
    medication = Label(name="medication", definition="A drug.")
    assert linked("aspirin 81 mg daily", "m:aspirin", labels=(medication,)) == []


@given(
    st.lists(
        st.sampled_from(["aspirin", "81 mg", "IV", ",", "K", "4.5", "daily", "of", "\n", "3 x", "(", ")"]),
        max_size=25,
    )
)
def test_attributes_are_true_characters_outside_the_entities(words: list[str]) -> None:
    note = "Before. " + " ".join(words)
    items = [ListItem("medication", "aspirin") for word in words if word == "aspirin"] + [
        ListItem("test", "K")
    ]
    placed = ground(note, Span(start=0, end=len(note)), items).mentions
    for index, attribute in attributes_by_pattern(note[8:], 8, placed, load_labels()):
        assert note[attribute.start : attribute.end] == attribute.text
        assert all(attribute.end <= p.start or p.end <= attribute.start for p in placed)
        assert 0 <= index < len(placed)


@pytest.mark.parametrize(
    ("mention", "name"),
    [
        ("intravenous methylprednisolone", "methylprednisolone"),
        ("5% lignocaine", "lignocaine"),
        ("oral low-dose prednisone", "prednisone"),
        ("aspirin", "aspirin"),
        ("oral", "oral"),
        ("IV fluids", "fluids"),
        ("ivermectin cream", "ivermectin cream"),
        ("oral contraceptives", "oral contraceptives"),
        ("Percocet 5 #40", "Percocet"),
        ("Tylenol #3", "Tylenol #3"),
        ("aspirin 81 mg", "aspirin"),
    ],
)
def test_a_medication_name_excludes_its_route_and_dose(mention, name):
    start, end = medication_name_within(mention, 0, len(mention))
    assert mention[start:end] == name


def test_a_mention_that_ends_inside_an_abbreviation_is_cut_before_it():
    text = "Tylenol p.r.n. pain"
    assert medication_name_within(text, 0, len("Tylenol p.r")) == (0, len("Tylenol"))
