"""The lexicon: names that an adapter knows from annotated notes, wherever they stand."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import UsageError
from models.trained_on import read_trained_on
from training.lexicon import add_lexicon, learn
from worker.decisions import decide_marks, marked_labels
from worker.lexicon import FILE, Known, Lexicon, key_of

if TYPE_CHECKING:
    from commands import Notemill

pytest_plugins = ("commands",)
LABELS = ("problem", "medication")


def record(text: str, **names: str) -> dict[str, object]:
    """A note in which every place of these names is marked."""
    places = [(text.index(name), name, label) for label, name in names.items()]
    entities = [{"start": at, "end": at + len(name), "label": label} for at, name, label in places]
    return {"id": "n", "text": text, "entities": entities}


GOUT = record("He takes colchicine for acute  gout.", medication="colchicine", problem="acute  gout")


def lexicon(**odds: float) -> Lexicon:
    keys = {key_of(name.replace("_", " ")): value for name, value in odds.items()}
    names = {key: ("problem", value) for (key, _), value in keys.items()}
    return Lexicon(names, max((length for _, length in keys), default=0))


def test_a_name_is_found_in_any_case_and_spacing_and_as_whole_words() -> None:
    found = lexicon(acute_gout=1.0).found("Acute\ngout, acute gouty pain")
    assert found == [Known(0, 10, "problem", 1.0)]


def test_of_names_that_begin_alike_the_longest_counts() -> None:
    text = "acute kidney injury"
    found = lexicon(acute=1.0, acute_kidney_injury=2.0, injury=3.0).found(text)
    assert [text[one.start : one.end] for one in found] == [text]


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=8), max_size=4))
def test_what_is_found_is_the_name_and_nothing_overlaps(text: str, names: list[str]) -> None:
    keys = {key_of(name): name for name in names}
    known = Lexicon({key: ("problem", 1.0) for key, _ in keys}, max((n for _, n in keys), default=0))
    found = known.found(text)
    assert all(key_of(text[one.start : one.end])[0] in known.names for one in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


def test_a_word_that_is_seldom_marked_is_no_name() -> None:
    unmarked = {"id": "m", "text": "The gout, gout, gout of it.", "entities": []}
    seldom = record("A gout.", problem="gout")
    learnt = learn([[seldom, unmarked, unmarked]], LABELS)
    assert learnt.found("gout") == []
    assert learn([[seldom]], LABELS).found("gout") != []


def test_text_in_which_a_label_is_never_used_says_nothing_against_it() -> None:
    unused = [record("colchicine, colchicine, colchicine for pain", problem="pain")]
    [known] = learn([[GOUT], unused], LABELS).found("colchicine")
    assert known.label == "medication"
    assert known.log_odds == pytest.approx(np.log(0.6 / 0.4), abs=0.01)


def test_a_known_name_is_marked_from_its_start_to_its_end_where_the_network_doubts() -> None:
    text, spans = "has acute gout now", [(0, 3), (3, 9), (9, 14), (14, 18)]
    labels = marked_labels(LABELS)
    doubting = np.log(np.array([[0.96, 0.01, 0.01, 0.01, 0.01]] + [[0.6, 0.3, 0.08, 0.01, 0.01]] * 3))
    doubting = doubting.astype(np.float32)
    known = [Known(4, 14, "problem", 2.5)]
    assert decide_marks(text, spans, doubting, labels) == []
    [mark] = decide_marks(text, spans, doubting, labels, known)
    assert (text[mark.start : mark.end], mark.label) == ("acute gout", "problem")
    assert 0.6 < mark.probability < 1.0


def test_one_that_the_network_is_sure_of_otherwise_stays_what_it_is() -> None:
    labels = marked_labels(LABELS)
    sure = np.log(np.array([[0.002, 0.002, 0.002, 0.992, 0.002]], dtype=np.float32))
    [mark] = decide_marks("lead", [(0, 4)], sure, labels, [Known(0, 4, "problem", 2.0)])
    assert mark.label == "medication"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "notemill.json").write_text(json.dumps({"labels": LABELS}))
    return folder


def data_file(tmp_path: Path, name: str, *records: dict[str, object]) -> Path:
    file = tmp_path / f"{name}.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in records))
    return file


def test_names_come_beside_those_that_are_there_and_a_purge_finds_the_folder(
    adapter: Path, tmp_path: Path
) -> None:
    add_lexicon(adapter, [data_file(tmp_path, "first", GOUT)])
    counts = add_lexicon(adapter, [data_file(tmp_path, "second", record("Has asthma.", problem="asthma"))])
    assert counts == {"medication": 1, "problem": 2}
    assert [one.label for one in Lexicon.read(adapter).found("asthma, colchicine")] == [
        "problem",
        "medication",
    ]
    assert len(read_trained_on(adapter)) == 2


def test_of_a_prepared_folder_each_corpus_counts_for_its_own_labels(adapter: Path, tmp_path: Path) -> None:
    silent = record("colchicine, colchicine, colchicine for pain", problem="pain") | {"corpus": "silent"}
    conversation = {"kind": "conversation", "turns": []}
    data_file(tmp_path, "train", conversation, GOUT | {"corpus": "speaking"}, silent)
    assert add_lexicon(adapter, [tmp_path]) == {"medication": 1, "problem": 2}


def test_no_name_can_be_read_in_the_file(adapter: Path, tmp_path: Path) -> None:
    add_lexicon(adapter, [data_file(tmp_path, "first", GOUT)])
    written = (adapter / FILE).read_text()
    assert "gout" not in written
    assert "colchicine" not in written


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([{"id": "n", "text": "Has gout."}], "no entities to learn names from"),
        ([record("A scan.", test="scan")], "marks problem, medication"),
    ],
)
def test_data_that_teaches_nothing_is_told(
    adapter: Path, tmp_path: Path, records: list[dict[str, object]], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        add_lexicon(adapter, [data_file(tmp_path, "first", *records)])


def test_the_command_tells_how_many_names_are_known(
    adapter: Path, tmp_path: Path, notemill: Notemill
) -> None:
    data = data_file(tmp_path, "first", GOUT)
    assert notemill("train", "lexicon", adapter, "--data", data) == 0, notemill.err
    assert "names known: medication 1, problem 1" in notemill.out
    assert notemill("train", "lexicon", adapter, "--data", data, "--json") == 0
    assert json.loads(notemill.out) == {"medication": 1, "problem": 1}


def test_a_folder_that_is_no_adapter_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name the folder of `train finetune`"):
        add_lexicon(tmp_path, [data_file(tmp_path, "first", GOUT)])
