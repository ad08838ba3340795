"""Evaluation data: file selection, label mapping, queries, baselines and errors that say what to type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.answers import Assertion
from training.evaluation import assertion_evaluation
from training.evaluation.baselines import bm25, negex
from training.evaluation.baselines.dictionary import Dictionary
from training.evaluation.cases import Case, Highlight, Side, segments
from training.evaluation.error_pages import errors_page
from training.evaluation.records.evaluation_data import (
    DataError,
    file_of,
    label_mapping,
    parsed_map,
    read_records,
)
from training.evaluation.records.evaluation_queries import evaluation_queries

OURS = ("problem", "medication", "test")


def write_records(folder: Path, name: str, *records: dict) -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def entity(text: str, part: str, label: str, **more: str) -> dict:
    start = text.index(part)
    return {"start": start, "end": start + len(part), "text": part, "label": label, **more}


def test_a_folder_means_its_dev_split_and_never_its_training_split(tmp_path):
    for name in ("train.jsonl", "test.jsonl", "dev.jsonl"):
        write_records(tmp_path, name, {})
    assert file_of(tmp_path).name == "dev.jsonl"
    (tmp_path / "dev.jsonl").unlink()
    assert file_of(tmp_path).name == "test.jsonl"


def test_a_folder_of_corpora_is_an_error_that_names_a_file(tmp_path):
    (tmp_path / "notes").mkdir()
    path = write_records(tmp_path / "notes", "dev.jsonl", {})
    with pytest.raises(DataError, match=f"--data {path}"):
        file_of(tmp_path)


def test_halves_are_every_second_line_and_disjoint(tmp_path):
    path = write_records(tmp_path, "all.jsonl", *({"id": number} for number in range(5)))
    odd, even = (read_records(path, half=half) for half in ("odd", "even"))
    assert [[record["id"] for record in records] for records in (odd, even)] == [[0, 2, 4], [1, 3]]


def test_a_line_that_is_not_json_is_named_by_its_number(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{}\n{"text": \n', "utf-8")
    with pytest.raises(DataError, match="line 2 is not JSON"):
        read_records(path)


def test_without_a_map_labels_of_public_corpora_and_our_own_are_recognized():
    records = [{"entities": [{"label": label} for label in ("Disease", "Medication", "Colour")]}]
    assert label_mapping(records, {}, OURS) == {"Disease": "problem", "Medication": "medication"}
    assert label_mapping(records, {"Colour": "test"}, OURS) == {"Colour": "test"}


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
        label_mapping([{"entities": [{"label": label} for label in labels]}], given, OURS)


def test_a_map_consists_of_pairs_with_an_equals_sign():
    assert parsed_map(["a=b=problem"]) == {"a=b": "problem"}
    for pair in ("problem", "=problem", "Disease="):
        with pytest.raises(DataError, match="not SOURCE=LABEL"):
            parsed_map([pair])


def test_a_concept_query_uses_a_name_that_its_note_does_not_contain():
    ataxia_note, cancer_note = "She has ataxia. It is A-T. Well.", "Lung cancer."
    records = [
        {"id": "1", "text": ataxia_note, "entities": [entity(ataxia_note, "A-T", "Disease", concept="D1")]},
        {"id": "2", "text": "No AT.", "entities": [entity("No AT.", "AT", "Disease", concept="D1")]},
        {
            "id": "3",
            "text": cancer_note,
            "entities": [entity(cancer_note, "Lung cancer", "Disease", concept="D2")],
        },
    ]
    asked = evaluation_queries(records, Path("x"))
    assert [(a.query, a.relevant) for a in asked] == [("at", (False, True, False)), ("a-t", (True,))]


def test_a_question_is_searched_in_its_own_answer_mixed_with_others():
    records = [{"question": f"Q{n}?", "answer": f"Answer {n} begins. It ends."} for n in range(40)]
    for number, query in enumerate(evaluation_queries(records, Path("x"))):
        hits = [
            query.text[sentence.start : sentence.end]
            for sentence, hit in zip(query.sentences, query.relevant, strict=True)
            if hit
        ]
        assert hits == [f"Answer {number} begins.", "It ends."]


def test_bm25_scores_a_sentence_without_query_words_zero():
    scores = bm25.rank("knee pain", ["The knee hurts.", "Pain in the knee.", "All is well."])
    assert scores[1] > scores[0] > scores[2] == 0


def test_a_dictionary_matches_whole_words_longest_first():
    text = "Diabetes mellitus and diabetes."
    mentions = Dictionary.of(
        [{"text": text, "entities": [entity(text, "Diabetes mellitus", "D"), entity(text, "diabetes", "D")]}]
    )("prediabetes, DIABETES MELLITUS")
    assert [(mention.start, mention.end) for mention in mentions] == [(13, 30)]


def test_assertions_are_evaluated_on_gold_spans_and_unannotated_values_are_not_counted(tmp_path):
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
    scores = assertion_evaluation.evaluate(records, tmp_path, ["negex"]).figures
    assert scores["accuracy"] == scores["negation"]["f1"] == 1.0
    assert scores["baselines"]["negex"]["negation"]["recall"] == 0.5
    assert "possible" not in scores


def test_plain_negex_stops_at_a_conjunction():
    text = "Denies fever but has cough."
    assert negex.assertion(text, 7, 12) is Assertion.NEGATED
    assert negex.assertion(text, 21, 26) is Assertion.PRESENT


def test_a_page_escapes_every_text_and_shows_the_worst_first():
    side = Side("a <b>bold</b> word", (Highlight(2, 10, "<i>", is_right=False),))
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


def test_overlapping_spans_lose_no_character_of_the_text():
    side = Side(
        "chest pain today",
        (Highlight(0, 10, "a", True), Highlight(6, 10, "b", True), Highlight(8, 16, "c", True)),
    )
    assert "".join(text for text, _ in segments(side)) == side.text
