"""The lexicon: names that an adapter knows from annotated notes, wherever they stand."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import UsageError
from models.security.training_provenance import read_trained_on
from training.calibration.lexicon_builder import add_lexicon, learn, merged
from worker.engine.prompting.label_words import tagged_labels
from worker.entities.bio_decoding import decode_mentions
from worker.note.word_tokens import WordTokens
from worker.weights.lexicon import LEXICON_FILE, Lexicon, LexiconMatch, WordOdds, key_of

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
    found = lexicon(acute_gout=1.0).matches(WordTokens.of("Acute\ngout, acute gouty pain"))
    assert found == [LexiconMatch(0, 10, "problem", 1.0)]


def test_of_names_that_begin_alike_the_longest_counts() -> None:
    text = "acute kidney injury"
    found = lexicon(acute=1.0, acute_kidney_injury=2.0, injury=3.0).matches(WordTokens.of(text))
    assert [text[one.start : one.end] for one in found] == [text]


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=8), max_size=4))
def test_what_is_found_is_the_name_and_nothing_overlaps(text: str, names: list[str]) -> None:
    keys = {key_of(name): name for name in names}
    known = Lexicon({key: ("problem", 1.0) for key, _ in keys}, max((n for _, n in keys), default=0))
    found = known.matches(WordTokens.of(text))
    assert all(key_of(text[one.start : one.end])[0] in known.names for one in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


def test_a_word_that_is_seldom_marked_is_no_name() -> None:
    unmarked = {"id": "m", "text": "The gout, gout, gout of it.", "entities": []}
    seldom = record("A gout.", problem="gout")
    learnt = learn([[seldom, unmarked, unmarked]], LABELS)
    assert learnt.matches(WordTokens.of("gout")) == []
    assert learn([[seldom]], LABELS).matches(WordTokens.of("gout")) != []


def test_text_in_which_a_label_is_never_used_says_nothing_against_it() -> None:
    unused = [record("colchicine, colchicine, colchicine for pain", problem="pain")]
    [known] = learn([[GOUT], unused], LABELS).matches(WordTokens.of("colchicine"))
    assert known.label == "medication"
    assert known.log_odds == pytest.approx(np.log(0.6 / 0.4), abs=0.01)


def test_a_known_name_is_marked_from_its_start_to_its_end_where_the_network_doubts() -> None:
    text, spans = "has acute gout now", [(0, 3), (3, 9), (9, 14), (14, 18)]
    labels = tagged_labels(LABELS)
    doubting = np.log(np.array([[0.96, 0.01, 0.01, 0.01, 0.01]] + [[0.6, 0.3, 0.08, 0.01, 0.01]] * 3))
    doubting = doubting.astype(np.float32)
    assert decode_mentions(text, spans, doubting, labels) == []
    [mark] = decode_mentions(text, spans, doubting, labels, lexicon(acute_gout=2.5))
    assert (text[mark.start : mark.end], mark.label) == ("acute gout", "problem")
    assert 0.6 < mark.probability < 1.0


def test_one_that_the_network_is_sure_of_otherwise_stays_what_it_is() -> None:
    labels = tagged_labels(LABELS)
    sure = np.log(np.array([[0.002, 0.002, 0.002, 0.992, 0.002]], dtype=np.float32))
    [mark] = decode_mentions("lead", [(0, 4)], sure, labels, lexicon(lead=2.0))
    assert mark.label == "medication"


def of_words(**odds: WordOdds) -> Lexicon:
    return Lexicon(words={"problem": {key_of(word)[0]: one for word, one in odds.items()}})


def likely(*words: str) -> np.ndarray:
    """Seven parts of ten on one word a token: '-', 'P' or 'p'."""
    rows = [[0.7 if one == word else 0.075 for one in ("-", "P", "p", "M", "m")] for word in words]
    return np.log(np.array(rows, dtype=np.float32))


def marks(text: str, lexicon: Lexicon, *words: str) -> list[str]:
    """What is marked of a text whose tokens are its words."""
    spans = [(found.start(), found.end()) for found in re.finditer(r"\S+", text)]
    found = decode_mentions(text, spans, likely(*words), tagged_labels(LABELS), lexicon)
    return [text[one.start : one.end] for one in found]


def test_a_word_that_is_hardly_ever_a_mention_by_itself_is_none_but_may_begin_one() -> None:
    knowing = of_words(renal=WordOdds(alone=-4.0))
    assert marks("renal pain was renal", Lexicon(), "P", "p", "-", "P") == ["renal pain", "renal"]
    assert marks("renal pain was renal", knowing, "P", "p", "-", "P") == ["renal pain"]


def test_a_border_moves_to_where_mentions_are_known_to_begin_and_end() -> None:
    knowing = of_words(severe=WordOdds(first=-6.0), failure=WordOdds(last=3.0))
    assert marks("has severe heart failure now", knowing, "-", "P", "p", "-", "-") == ["heart failure"]


def test_a_word_that_no_note_had_is_judged_by_how_it_ends() -> None:
    verbs = ("washed", "pushed", "rushed", "fished", "crushed")
    learnt = learn([[record(f"He {verb} for gout.", problem="gout") for verb in verbs]], ("problem",))
    assert learnt.endings["problem"].keys() == {"hed", "shed"}
    assert learnt.single_word_log_odds("problem", "dashed") == learnt.endings["problem"]["shed"] < 0.0
    assert (
        learnt.single_word_log_odds("problem", "arthritis")
        == learnt.single_word_log_odds("problem", "gout")
        == 0.0
    )
    assert marks("he dashed", Lexicon(), "-", "P") == ["dashed"]
    assert marks("he dashed", Lexicon(endings={"problem": {"hed": -3.0}}), "-", "P") == []
    assert Lexicon.read(None).endings == {}


@pytest.mark.parametrize(("before", "learnt", "kinder"), [(-4.0, -1.0, -1.0), (-1.0, -4.0, -1.0)])
def test_of_two_lexicons_the_kinder_judges_a_word_alone(before: float, learnt: float, kinder: float) -> None:
    word = key_of("opioids")[0]
    first, second = (
        Lexicon(words={"problem": {word: WordOdds(alone=odds)}}, endings={"problem": {"ids": odds}})
        for odds in (before, learnt)
    )
    both = merged(first, second)
    assert (both.words["problem"][word].alone, both.endings["problem"]["ids"]) == (kinder, kinder)


def test_what_is_marked_in_most_places_of_a_note_is_marked_in_all() -> None:
    text = "gout and gout and gout and gouts"
    found = decode_mentions(
        text,
        [(found.start(), found.end()) for found in re.finditer(r"\S+", text)],
        np.vstack([likely("P", "-", "P", "-", "P", "-"), np.log([[0.5, 0.4, 0.05, 0.02, 0.03]])]).astype(
            np.float32
        ),
        tagged_labels(LABELS),
    )
    assert [text[one.start : one.end] for one in found] == ["gout", "gout", "gout", "gouts"]


def test_a_word_is_judged_by_the_corpus_that_is_kindest_to_it_and_only_if_three_notes_have_it() -> None:
    never = [record(f"The cause was gout {n}.", problem="gout") for n in range(3)]
    always = [record("The cause.", problem="cause")] * 3
    [harsh] = [learn([never], LABELS).word_odds("problem", "cause")]
    assert harsh.alone == pytest.approx(np.log(0.5 / 4), abs=0.1)
    assert learn([never, always], LABELS).word_odds("problem", "cause").alone == 0.0
    assert learn([never[:2]], LABELS).word_odds("problem", "cause") == WordOdds()


def test_words_at_borders_are_counted_inside_and_outside() -> None:
    inside = [record("He has acute gout now.", problem="acute gout")] * 3
    outside = [record("He has severe gout now.", problem="gout")] * 3
    learnt = learn([inside + outside], LABELS)
    assert learnt.word_odds("problem", "acute").first == pytest.approx(np.log(3.5 / 0.5), abs=0.1)
    assert learnt.word_odds("problem", "severe").first == pytest.approx(np.log(0.5 / 3.5), abs=0.1)
    assert learnt.word_odds("problem", "gout").last == pytest.approx(np.log(3.5 / 0.5), abs=0.1)


def test_a_listed_name_that_no_note_has_is_as_likely_as_the_listed_ones_that_they_have() -> None:
    lists = {"problem": ["gout", "rare disease", "x", "12"], "medication": ["colchicine"]}
    learnt = learn([[GOUT, record("Has gout.", problem="gout")]], LABELS, lists)
    [known] = learnt.matches(WordTokens.of("a Rare disease"))
    assert known.log_odds == pytest.approx(np.log(0.75 / 0.25), abs=0.01)
    assert learnt.matches(WordTokens.of("x 12")) == []


def test_what_is_stored_is_read_back(adapter: Path, tmp_path: Path) -> None:
    notes = [record(f"He has acute gout {n}.", problem="acute gout") for n in range(3)]
    learnt = learn([notes], LABELS)
    add_lexicon(adapter, [data_file(tmp_path, "notes", *notes)])
    assert Lexicon.read(adapter) == learnt
    assert learnt.words["problem"]


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
    assert [one.label for one in Lexicon.read(adapter).matches(WordTokens.of("asthma, colchicine"))] == [
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
    written = (adapter / LEXICON_FILE).read_text()
    assert "gout" not in written
    assert "colchicine" not in written


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([{"id": "n", "text": "Has gout."}], "no entities to learn names from"),
        ([record("A scan.", test="scan")], "tags problem, medication"),
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


def test_names_of_a_file_are_known_and_what_is_wrong_with_one_is_told(
    adapter: Path, tmp_path: Path, notemill: Notemill
) -> None:
    data, formulary = data_file(tmp_path, "first", GOUT), tmp_path / "formulary.txt"
    formulary.write_text("Colchicine\nallopurinol\n\n")
    command = ("train", "lexicon", adapter, "--data", data, "--names")
    assert notemill(*command, f"medication={formulary}") == 0, notemill.err
    assert "names known: medication 2, problem 1" in notemill.out
    for wrong, told in [
        (str(formulary), "write LABEL=FILE"),
        (f"device={formulary}", "tags problem, medication"),
        (f"medication={tmp_path / 'none.txt'}", "there is no file"),
    ]:
        assert notemill(*command, wrong) == 2
        assert told in notemill.err


def test_a_folder_that_is_no_adapter_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name the folder of `train finetune`"):
        add_lexicon(tmp_path, [data_file(tmp_path, "first", GOUT)])
