"""Sentence splitter: where sentences end, and that they cover the whole text."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.note.sentence_splitter import MAX_SENTENCE_CHARACTERS, sentences

ALPHABET = st.text(
    alphabet=st.sampled_from("aAbZ01.,:;!?()[]-•* \t\r\n。！？中\u0301é\u2028#/q"), max_size=400
)


def split(text: str) -> list[str]:
    return [text[span.start : span.end] for span in sentences(text)]


@pytest.mark.parametrize(
    "sentence",
    [
        "Seen by Dr. Smith at 8 a.m. today.",
        "He takes aspirin 81 mg p.o. q.d. and metoprolol 25 mg b.i.d. with food.",
        "Compared with No. 5 nylon vs. Vicryl, i.e. the usual, e.g. 3-0.",
        "Give Tylenol 650 mg p.o. q.4-6h. p.r.n. pain.",
        "Dr. J. Smith and Mary K. Jones saw her.",
        "The hematocrit was 31.5 and 0.5% Marcaine was given at www.example.com today.",
        "? pneumonia vs. CHF.",
        "3 x 2 cm. in its largest extent.",
    ],
)
def test_abbreviations_decimals_and_names_do_not_end_a_sentence(sentence: str) -> None:
    assert split(sentence + "  The patient left.") == [sentence, "The patient left."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Score was 4. The patient left.", ["Score was 4.", "The patient left."]),
        ("Hepatitis C. The load is low.", ["Hepatitis C.", "The load is low."]),
        ("Tobacco: no. Alcohol: no.", ["Tobacco: no.", "Alcohol: no."]),
        ('She said "I feel bad." Then left.', ['She said "I feel bad."', "Then left."]),
        ("Lungs clear.Heart regular.", ["Lungs clear.", "Heart regular."]),
        ("主诉胸痛三天！既往有高血压吗？无。", ["主诉胸痛三天！", "既往有高血压吗？", "无。"]),
    ],
)
def test_a_sentence_ends_at_its_final_punctuation(text: str, expected: list[str]) -> None:
    assert split(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DIAGNOSES:1.  Fibroid.,2.  Anemia.", ["DIAGNOSES:", "1.  Fibroid.,", "2.  Anemia."]),
        ("DIAGNOSES,1.  Fibroid.,2.  Anemia.", ["DIAGNOSES,", "1.  Fibroid.,", "2.  Anemia."]),
        ("1. Pain.\n2. Anemia, stage 2.\n3) Gout.", ["1. Pain.", "2. Anemia, stage 2.", "3) Gout."]),
        ("PLAN: 1. Rest 2. Ice 3. Diabetes type 2", ["PLAN:", "1. Rest", "2. Ice", "3. Diabetes type 2"]),
        ("- aspirin\n• lasix 40 mg • potassium", ["- aspirin", "• lasix 40 mg", "• potassium"]),
    ],
)
def test_each_item_of_a_list_is_a_sentence_with_its_number(text: str, expected: list[str]) -> None:
    assert split(text) == expected


def test_hard_wraps_are_joined_and_the_lines_of_a_list_are_not() -> None:
    wrapped = [
        "The patient is a 66-year-old woman who presented with chest pain",
        "radiating to the left arm and she was given aspirin in the ED and",
        "Plavix before transfer to the cath lab for the evening procedure.",
    ]
    list_items = ["Aspirin 81 mg daily", "Metoprolol tartrate 25 mg b.i.d.", "Lisinopril 10 mg daily"]
    assert split("\n".join([*wrapped, *list_items])) == ["\n".join(wrapped), *list_items]


def test_headings_vital_signs_and_table_rows_end_with_their_lines() -> None:
    text = "IMPRESSION\r\nBP 120/80\r\nHR 70\r\nTest\tResult\r\nNa\t140\r\n\r\nPLAN:\r\nRest"
    assert split(text) == ["IMPRESSION", "BP 120/80", "HR 70", "Test\tResult", "Na\t140", "PLAN:", "Rest"]


def test_a_heading_without_a_space_before_it_begins_a_sentence() -> None:
    assert split("No complaints,HX: well.") == ["No complaints,", "HX: well."]


def test_text_without_punctuation_is_cut_between_words() -> None:
    text = "word " * 40_000
    parts = split(text)
    assert max(map(len, parts)) <= MAX_SENTENCE_CHARACTERS
    assert all(set(part.split()) == {"word"} for part in parts)


@given(ALPHABET)
def test_every_character_but_white_space_is_in_exactly_one_sentence(text: str) -> None:
    spans = sentences(text)
    assert "".join("".join(split(text)).split()) == "".join(text.split())
    assert all(before.end <= after.start for before, after in pairwise(spans))


@given(ALPHABET, st.integers(1, 60))
def test_sentences_are_trimmed_and_no_longer_than_the_limit(text: str, longest: int) -> None:
    for span in sentences(text, longest):
        sentence = text[span.start : span.end]
        assert sentence == sentence.strip()
        assert 0 < len(sentence) <= longest


@pytest.mark.parametrize(
    "unit", ["word ", ". ", "a", " ", "A,", "a\n", "1. A ", ".", '.)"', "AB:\n", "\r\n\t", "x: 1. "]
)
def test_200_kilobytes_of_anything_take_linear_time(unit: str) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        begun = time.process_time()
        sentences(text)
        return time.process_time() - begun

    # Four times the text in four times the time, not in sixteen, however slow the machine is just now.
    tries = [(seconds(200_000), seconds(50_000)) for _ in range(2)]
    assert min(long / (short + 0.05) for long, short in tries) < 8
    assert min(long for long, _ in tries) < 8
