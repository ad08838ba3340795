"""What is evaluated on what: which file, what its labels are called, and errors that say what to type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.answers import Assertion
from training.evaluation import assertion_evaluation
from training.evaluation.baselines import bm25, negex
from training.evaluation.baselines.dictionary import Dictionary
from training.evaluation.cases import Case, CaseMark, Side, pieces
from training.evaluation.error_pages import errors_page
from training.evaluation.records.evaluation_data import (
    DataError,
    file_of,
    names_here,
    parsed_map,
    read_records,
)
from training.evaluation.records.evaluation_queries import queries_of

OURS = ("problem", "medication", "test")


def written(folder: Path, name: str, *records: dict) -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def entity(text: str, part: str, label: str, **more: str) -> dict:
    start = text.index(part)
    return {"start": start, "end": start + len(part), "text": part, "label": label, **more}


def test_of_a_folder_the_dev_split_is_meant_and_never_the_training_one(tmp_path):
    for name in ("train.jsonl", "test.jsonl", "dev.jsonl"):
        written(tmp_path, name, {})
    assert file_of(tmp_path).name == "dev.jsonl"
    (tmp_path / "dev.jsonl").unlink()
    assert file_of(tmp_path).name == "test.jsonl"


def test_a_folder_of_corpora_is_an_error_that_names_their_files(tmp_path):
    (tmp_path / "notes").mkdir()
    path = written(tmp_path / "notes", "dev.jsonl", {})
    with pytest.raises(DataError, match=f"--data {path}"):
        file_of(tmp_path)


def test_halves_are_every_second_line_and_have_nothing_in_common(tmp_path):
    path = written(tmp_path, "all.jsonl", *({"id": number} for number in range(5)))
    odd, even = (read_records(path, half=half) for half in ("odd", "even"))
    assert [[one["id"] for one in some] for some in (odd, even)] == [[0, 2, 4], [1, 3]]


def test_a_line_that_is_not_json_is_named_by_its_number(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{}\n{"text": \n', "utf-8")
    with pytest.raises(DataError, match="line 2 is not JSON"):
        read_records(path)


def test_labels_without_a_map_are_those_of_known_corpora_and_our_own():
    records = [{"entities": [{"label": one} for one in ("Disease", "Medication", "Colour")]}]
    assert names_here(records, {}, OURS) == {"Disease": "problem", "Medication": "medication"}
    assert names_here(records, {"Colour": "test"}, OURS) == {"Colour": "test"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"Disease": "illness"}, "'illness' is no label here"),
        ({"Drug": "medication"}, "has no label 'Drug'"),
        ({}, "e.g. --map Colour=problem"),
    ],
)
def test_labels_that_cannot_be_evaluated_are_an_error_that_says_what_to_type(given, words):
    labels = ["Disease", "Colour"] if given else ["Colour"]
    with pytest.raises(DataError, match=words):
        names_here([{"entities": [{"label": one} for one in labels]}], given, OURS)


def test_a_map_is_pairs_with_an_equals_sign():
    assert parsed_map(["a=b=problem"]) == {"a=b": "problem"}
    for pair in ("problem", "=problem", "Disease="):
        with pytest.raises(DataError, match="not SOURCE=LABEL"):
            parsed_map([pair])


def test_a_concept_is_asked_for_by_a_name_that_its_note_does_not_use():
    one, other = "She has ataxia. It is A-T. Well.", "Lung cancer."
    records = [
        {"id": "1", "text": one, "entities": [entity(one, "A-T", "Disease", concept="D1")]},
        {"id": "2", "text": "No AT.", "entities": [entity("No AT.", "AT", "Disease", concept="D1")]},
        {"id": "3", "text": other, "entities": [entity(other, "Lung cancer", "Disease", concept="D2")]},
    ]
    asked = queries_of(records, Path("x"))
    assert [(a.query, a.relevant) for a in asked] == [("at", (False, True, False)), ("a-t", (True,))]


def test_a_question_is_asked_of_its_own_answer_among_others():
    records = [{"question": f"Q{n}?", "answer": f"Answer {n} begins. It ends."} for n in range(40)]
    for number, one in enumerate(queries_of(records, Path("x"))):
        hits = [one.text[s.start : s.end] for s, hit in zip(one.sentences, one.relevant, strict=True) if hit]
        assert hits == [f"Answer {number} begins.", "It ends."]


def test_bm25_gives_nothing_to_a_sentence_without_a_word_of_the_query():
    scores = bm25.rank("knee pain", ["The knee hurts.", "Pain in the knee.", "All is well."])
    assert scores[1] > scores[0] > scores[2] == 0


def test_a_dictionary_marks_whole_words_the_longest_first():
    text = "Diabetes mellitus and diabetes."
    found = Dictionary.of(
        [{"text": text, "entities": [entity(text, "Diabetes mellitus", "D"), entity(text, "diabetes", "D")]}]
    )("prediabetes, DIABETES MELLITUS")
    assert [(one.start, one.end) for one in found] == [(13, 30)]


def test_assertions_are_judged_on_given_spans_and_what_is_not_annotated_counts_nowhere(tmp_path):
    text = "No fever. Possible pneumonia. Aspirin was stopped."
    records = [
        {
            "text": text,
            "entities": [
                entity(text, "fever", "problem", assertion="negated"),
                entity(text, "pneumonia", "problem", assertion="present"),
                entity(text, "Aspirin", "medication", assertion="negated"),
            ],
        }
    ]
    told = assertion_evaluation.evaluate(records, tmp_path, ["negex"]).figures
    assert told["accuracy"] == told["negation"]["f1"] == 1.0
    assert told["baselines"]["negex"]["negation"]["recall"] == 0.5
    assert "possible" not in told


def test_plain_negex_stops_at_a_conjunction():
    text = "Denies fever but has cough."
    assert negex.assertion(text, 7, 12) is Assertion.NEGATED
    assert negex.assertion(text, 21, 26) is Assertion.PRESENT


def test_a_page_escapes_every_text_and_shows_the_worst_first():
    side = Side("a <b>bold</b> word", (CaseMark(2, 10, "<i>", is_right=False),))
    cases = [
        Case("few", side, side, 1),
        Case("<many>", side, side, 5, ("<script>",)),
        Case("none", side, side, 0),
    ]
    page = errors_page(cases, "t & t")
    assert "<b>bold" not in page
    assert "<script>" not in page
    assert page.index("&lt;many&gt;") < page.index("few")
    assert "2 of 3 have errors" in page
    assert ">none" not in page


def test_marks_that_overlap_lose_no_character_of_the_text():
    side = Side(
        "chest pain today",
        (CaseMark(0, 10, "a", True), CaseMark(6, 10, "b", True), CaseMark(8, 16, "c", True)),
    )
    assert "".join(text for text, _ in pieces(side)) == side.text
