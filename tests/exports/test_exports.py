"""Each export is read back by another library, and each span equals the note's own characters."""

from __future__ import annotations

import csv
import json
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import making
import pyarrow.dataset as ds
import pytest
import spacy
from exported import ODD, PLAIN, answer_all
from spacy.tokens import DocBin
from spacy.training import Corpus

from exports.export_formats import FORMS
from exports.file_names import file_name
from exports.result_files import in_batches
from models.documents import Document
from models.errors import UsageError

if TYPE_CHECKING:
    from exported import Archive

pytest_plugins = ("exported",)
TEXTS = {"ward/1 ü.txt": ODD, "2": PLAIN, "empty": "Nothing."}


def test_the_newest_version_and_its_newest_answers_are_exported(archive: Archive) -> None:
    serving = making.a_serving(entities="new words")
    newer = [Document(external_id="2", text="Cough is gone.")]
    making.submit(archive.store, newer, making.QUESTIONS)
    answer_all(archive.store, 4, newer[0].text)
    making.submit(archive.store, [Document(external_id="empty", text="Nothing.")], [making.ENTITIES], serving)
    (job,) = making.claimed(archive.store, 3, serving_id=serving.id).jobs
    making.record(archive.store, job, making.finished(job, "Nothing."))
    notes = {note.external_id: note for note in archive.notes()}
    assert notes["2"].text == "Cough is gone."
    assert [len(note.answers) for note in notes.values()] == [3, 3, 3]
    assert [entity["text"] for _, entity in notes["empty"].items("entities")] == ["Nothing."]
    assert archive.queries.exported_count() == 3


def test_an_exported_run_has_only_its_own_tasks(archive: Archive) -> None:
    run, _ = making.submit(archive.store, [Document(external_id="2", text=PLAIN)], [making.ENTITIES])
    (note,) = archive.queries.exported(run)
    assert [answer["task"] for answer in note.answers] == ["entities"]
    with pytest.raises(UsageError, match="no run 99"):
        archive.queries.exported(99)


def test_json_lines_equal_those_of_results(archive: Archive) -> None:
    lines = archive.write("jsonl", "out.jsonl").read_text("utf-8").splitlines()
    assert list(map(json.loads, lines)) == list(archive.queries.results())


def test_csv_cells_hold_every_span_and_no_formula(archive: Archive) -> None:
    with archive.write("csv", "out.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["start"]]
    assert len(rows) > 15
    for row in rows:
        quoted = TEXTS[row["external_id"]][int(row["start"]) : int(row["end"])]
        assert row["text"] == (f"'{quoted}" if quoted.startswith("=") else quoted)


def test_parquet_is_partitioned_by_run_and_read_as_one_table(archive: Archive) -> None:
    making.submit(archive.store, [Document(external_id="2", text=PLAIN)], [making.ENTITIES])
    folder = archive.write("parquet", "lake")
    table = ds.dataset(folder, partitioning="hive").to_table().to_pylist()
    assert sorted(path.name for path in folder.iterdir()) == ["_notemill.json", "run=1", "run=2"]
    assert len(table) == 9
    for row in table:
        for item in [*(row["entities"] or ()), *(row["passages"] or ())]:
            assert TEXTS[row["external_id"]][item["start"] : item["end"]] == item["text"]


def test_brat_offsets_are_characters_of_its_text_files(archive: Archive) -> None:
    folder, seen = archive.write("brat", "brat"), 0
    for note in archive.notes():
        path = folder / file_name(note.external_id, note.document_id)
        text = path.with_name(f"{path.name}.txt").read_bytes().decode()
        assert text == note.text
        for line in path.with_name(f"{path.name}.ann").read_text("utf-8").splitlines():
            if match := re.fullmatch(r"T\d+\t\w+ ([\d ;]+)\t(.*)", line):
                fragments = [tuple(map(int, fragment.split())) for fragment in match[1].split(";")]
                assert " ".join(text[start:end] for start, end in fragments) == match[2]
                seen += 1
    assert seen == 18
    assert "Assertion\tArg:<ENTITY>, Value:negated|" in (folder / "annotation.conf").read_text()


def test_brat_links_a_dose_to_its_medication(archive: Archive) -> None:
    lines = (archive.write("brat", "brat") / "2.ann").read_text().splitlines()
    assert lines == [
        "T1\tproblem 0 5\tCough",
        "T2\tmedication 19 30\tAmoxicillin",
        "A1\tAssertion T2 historical",
        "T3\tdosage 31 37\t500 mg",
        "R1\tdosage_of Arg1:T3 Arg2:T2",
    ]


def test_label_studio_gets_regions_with_their_assertions(archive: Archive) -> None:
    tasks = json.loads(archive.write("labelstudio", "tasks.json").read_text("utf-8"))
    assert [task["data"]["document"] for task in tasks] == list(TEXTS)
    for task in tasks:
        note = TEXTS[task["data"]["document"]]
        assert len(task["data"]["text"]) == len(note)
        assert "\r" not in task["data"]["text"]
        for region in (region for prediction in task["predictions"] for region in prediction["result"]):
            value = region["value"]
            assert note[value["start"] : value["end"]] == value["text"]
    first, second = tasks[1]["predictions"][0]["result"][2:4]
    assert (first["value"]["labels"], second["value"]["choices"]) == (["medication"], ["historical"])
    assert (first["id"], first["from_name"], second["from_name"]) == (second["id"], "label", "assertion")


def test_label_studio_gets_a_labeling_interface_with_every_label(archive: Archive) -> None:
    archive.write("labelstudio", "tasks.json")
    view = ElementTree.parse(archive.folder / "tasks.xml").getroot()
    labels = {label.get("value") for label in view.iter("Label")}
    assert labels == {"problem", "test", "medication", "procedure"}
    assert len(list(view.iter("Choice"))) == 6


def test_spacy_reads_every_span_back(archive: Archive) -> None:
    english, num_entities = spacy.blank("en"), 0
    (path,) = archive.write("spacy", "docs").glob("*.spacy")
    docs = list(DocBin().from_disk(path).get_docs(english.vocab))
    for doc, note in zip(docs, archive.notes(), strict=True):
        assert doc.text == note.text
        expected = [(entity["start"], entity["end"], entity["label"]) for _, entity in note.items("entities")]
        assert [(span.start_char, span.end_char, span.label_) for span in doc.spans["entities"]] == expected
        assert len(doc.user_data["notemill"]["entities"]) == len(expected)
        num_entities += len(doc.ents)
    assert num_entities == 12  # one of the thirteen lies in another


def test_spacy_trains_on_the_exported_folder(archive: Archive) -> None:
    english = spacy.blank("en")
    english.add_pipe("ner")
    examples = list(Corpus(archive.write("spacy", "docs"))(english))
    english.initialize(lambda: examples)
    assert english.update(examples)["ner"] > 0


@pytest.mark.parametrize("form", FORMS)
def test_a_failed_export_keeps_the_previous_files(
    archive: Archive, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive.write(form, "out.json")
    before = _files(path)

    def breaking(self: Any, run_id: int | None = None) -> Any:
        yield from archive.notes()[:1]
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("models.queries.queries.Queries.exported", breaking)
    with pytest.raises(RuntimeError):
        archive.write(form, "out.json")
    assert _files(path) == before
    assert [path.name for path in archive.folder.glob(".*")] == []


@pytest.mark.parametrize("form", ["fhir", "parquet", "spacy"])
def test_an_export_is_readable_by_its_owner_only(archive: Archive, form: str) -> None:
    mode = stat.S_IMODE(archive.write(form, "out").stat().st_mode)
    assert mode & 0o077 == 0


def test_a_folder_with_foreign_files_is_not_overwritten(archive: Archive) -> None:
    (archive.folder / "mine").mkdir()
    (archive.folder / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not notemill's"):
        archive.write("brat", "mine")
    archive.write("brat", "ours")
    archive.write("spacy", "ours")
    assert [path.name for path in (archive.folder / "ours").glob("*.ann")] == []


def test_file_names_are_safe_and_unique() -> None:
    names = ["a/b", "a%2Fb", "..", ".hidden", "ü" * 300, "ü" * 301, " x", "x"]
    made = [file_name(name, number) for number, name in enumerate(names)]
    assert len(set(made)) == len(made)
    assert all(len(name) < 200 and "/" not in name and not name.startswith(".") for name in made)


def test_batches_are_cut_to_size() -> None:
    assert [len(batch) for batch in in_batches(({} for _ in range(7)), 3)] == [3, 3, 1]


def _files(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {path.name: path.read_bytes()}
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
