"""The lexicon: names learnt from annotated notes, stored beside an adapter and matched in notes."""

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
    """Returns a note in which the first occurrence of each name is annotated."""
    occurrences = [(text.index(name), name, label) for label, name in names.items()]
    entities = [
        {"start": start, "end": start + len(name), "label": label} for start, name, label in occurrences
    ]
    return {"id": "n", "text": text, "entities": entities}


GOUT = record("He takes colchicine for acute  gout.", medication="colchicine", problem="acute  gout")


def lexicon(**odds: float) -> Lexicon:
    keys = {key_of(name.replace("_", " ")): value for name, value in odds.items()}
    names = {key: ("problem", value) for (key, _), value in keys.items()}
    return Lexicon(names, max((length for _, length in keys), default=0))


def test_a_name_is_found_in_any_case_and_spacing_and_as_whole_words() -> None:
    matches = lexicon(acute_gout=1.0).matches(WordTokens.of("Acute\ngout, acute gouty pain"))
    assert matches == [LexiconMatch(0, 10, "problem", 1.0)]


def test_the_longest_of_names_with_the_same_start_matches() -> None:
    text = "acute kidney injury"
    matches = lexicon(acute=1.0, acute_kidney_injury=2.0, injury=3.0).matches(WordTokens.of(text))
    assert [text[match.start : match.end] for match in matches] == [text]


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=8), max_size=4))
def test_matches_are_exactly_the_names_and_do_not_overlap(text: str, names: list[str]) -> None:
    keys = {key_of(name): name for name in names}
    name_lexicon = Lexicon({key: ("problem", 1.0) for key, _ in keys}, max((n for _, n in keys), default=0))
    matches = name_lexicon.matches(WordTokens.of(text))
    assert all(key_of(text[match.start : match.end])[0] in name_lexicon.names for match in matches)
    assert all(before.end <= after.start for before, after in pairwise(matches))


def test_a_word_that_is_seldom_annotated_is_no_name() -> None:
    unannotated = {"id": "m", "text": "The gout, gout, gout of it.", "entities": []}
    annotated = record("A gout.", problem="gout")
    learnt = learn([[annotated, unannotated, unannotated]], LABELS)
    assert learnt.matches(WordTokens.of("gout")) == []
    assert learn([[annotated]], LABELS).matches(WordTokens.of("gout")) != []


def test_a_corpus_that_never_uses_a_label_does_not_lower_its_odds() -> None:
    unused = [record("colchicine, colchicine, colchicine for pain", problem="pain")]
    [match] = learn([[GOUT], unused], LABELS).matches(WordTokens.of("colchicine"))
    assert match.label == "medication"
    assert match.log_odds == pytest.approx(np.log(0.6 / 0.4), abs=0.01)


def test_a_lexicon_name_is_tagged_as_a_whole_where_the_network_is_uncertain() -> None:
    text, spans = "has acute gout now", [(0, 3), (3, 9), (9, 14), (14, 18)]
    labels = tagged_labels(LABELS)
    uncertain = np.log(np.array([[0.96, 0.01, 0.01, 0.01, 0.01]] + [[0.6, 0.3, 0.08, 0.01, 0.01]] * 3))
    uncertain = uncertain.astype(np.float32)
    assert decode_mentions(text, spans, uncertain, labels) == []
    [mention] = decode_mentions(text, spans, uncertain, labels, lexicon(acute_gout=2.5))
    assert (text[mention.start : mention.end], mention.label) == ("acute gout", "problem")
    assert 0.6 < mention.probability < 1.0


def test_the_lexicon_does_not_overrule_a_confident_network() -> None:
    labels = tagged_labels(LABELS)
    confident = np.log(np.array([[0.002, 0.002, 0.002, 0.992, 0.002]], dtype=np.float32))
    [mention] = decode_mentions("lead", [(0, 4)], confident, labels, lexicon(lead=2.0))
    assert mention.label == "medication"


def word_lexicon(**odds: WordOdds) -> Lexicon:
    return Lexicon(words={"problem": {key_of(word)[0]: odds_of_word for word, odds_of_word in odds.items()}})


def likely(*words: str) -> np.ndarray:
    """Returns log-probabilities that give 0.7 to one tag for each token: '-', 'P' or 'p'."""
    rows = [[0.7 if tag == word else 0.075 for tag in ("-", "P", "p", "M", "m")] for word in words]
    return np.log(np.array(rows, dtype=np.float32))


def tagged_texts(text: str, lexicon: Lexicon, *words: str) -> list[str]:
    """Returns the texts of the mentions in a text whose tokens are its words."""
    spans = [(match.start(), match.end()) for match in re.finditer(r"\S+", text)]
    mentions = decode_mentions(text, spans, likely(*words), tagged_labels(LABELS), lexicon)
    return [text[mention.start : mention.end] for mention in mentions]


def test_a_word_that_is_rarely_a_mention_alone_can_still_begin_one() -> None:
    renal_lexicon = word_lexicon(renal=WordOdds(alone=-4.0))
    assert tagged_texts("renal pain was renal", Lexicon(), "P", "p", "-", "P") == ["renal pain", "renal"]
    assert tagged_texts("renal pain was renal", renal_lexicon, "P", "p", "-", "P") == ["renal pain"]


def test_mention_boundaries_follow_the_odds_of_first_and_last_words() -> None:
    boundary_lexicon = word_lexicon(severe=WordOdds(first=-6.0), failure=WordOdds(last=3.0))
    assert tagged_texts("has severe heart failure now", boundary_lexicon, "-", "P", "p", "-", "-") == [
        "heart failure"
    ]


def test_an_unseen_word_has_the_odds_of_its_ending() -> None:
    verbs = ("washed", "pushed", "rushed", "fished", "crushed")
    learnt = learn([[record(f"He {verb} for gout.", problem="gout") for verb in verbs]], ("problem",))
    assert learnt.endings["problem"].keys() == {"hed", "shed"}
    assert learnt.single_word_log_odds("problem", "dashed") == learnt.endings["problem"]["shed"] < 0.0
    assert (
        learnt.single_word_log_odds("problem", "arthritis")
        == learnt.single_word_log_odds("problem", "gout")
        == 0.0
    )
    assert tagged_texts("he dashed", Lexicon(), "-", "P") == ["dashed"]
    assert tagged_texts("he dashed", Lexicon(endings={"problem": {"hed": -3.0}}), "-", "P") == []
    assert Lexicon.read(None).endings == {}


@pytest.mark.parametrize(("before", "learnt", "higher"), [(-4.0, -1.0, -1.0), (-1.0, -4.0, -1.0)])
def test_a_merged_lexicon_keeps_the_higher_odds_of_a_single_word(
    before: float, learnt: float, higher: float
) -> None:
    word = key_of("opioids")[0]
    first, second = (
        Lexicon(words={"problem": {word: WordOdds(alone=odds)}}, endings={"problem": {"ids": odds}})
        for odds in (before, learnt)
    )
    both = merged(first, second)
    assert (both.words["problem"][word].alone, both.endings["problem"]["ids"]) == (higher, higher)


def test_a_name_tagged_in_most_places_of_a_note_is_tagged_in_all() -> None:
    text = "gout and gout and gout and gouts"
    mentions = decode_mentions(
        text,
        [(match.start(), match.end()) for match in re.finditer(r"\S+", text)],
        np.vstack([likely("P", "-", "P", "-", "P", "-"), np.log([[0.5, 0.4, 0.05, 0.02, 0.03]])]).astype(
            np.float32
        ),
        tagged_labels(LABELS),
    )
    assert [text[mention.start : mention.end] for mention in mentions] == ["gout", "gout", "gout", "gouts"]


def test_single_word_odds_are_the_highest_of_any_corpus_and_need_three_notes() -> None:
    without_cause = [record(f"The cause was gout {n}.", problem="gout") for n in range(3)]
    with_cause = [record("The cause.", problem="cause")] * 3
    [odds] = [learn([without_cause], LABELS).word_odds("problem", "cause")]
    assert odds.alone == pytest.approx(np.log(0.5 / 4), abs=0.1)
    assert learn([without_cause, with_cause], LABELS).word_odds("problem", "cause").alone == 0.0
    assert learn([without_cause[:2]], LABELS).word_odds("problem", "cause") == WordOdds()


def test_words_at_mention_boundaries_are_counted_inside_and_outside() -> None:
    inside = [record("He has acute gout now.", problem="acute gout")] * 3
    outside = [record("He has severe gout now.", problem="gout")] * 3
    learnt = learn([inside + outside], LABELS)
    assert learnt.word_odds("problem", "acute").first == pytest.approx(np.log(3.5 / 0.5), abs=0.1)
    assert learnt.word_odds("problem", "severe").first == pytest.approx(np.log(0.5 / 3.5), abs=0.1)
    assert learnt.word_odds("problem", "gout").last == pytest.approx(np.log(3.5 / 0.5), abs=0.1)


def test_a_name_absent_from_the_notes_has_the_odds_of_the_other_names_of_its_list() -> None:
    lists = {"problem": ["gout", "rare disease", "x", "12"], "medication": ["colchicine"]}
    learnt = learn([[GOUT, record("Has gout.", problem="gout")]], LABELS, lists)
    [match] = learnt.matches(WordTokens.of("a Rare disease"))
    assert match.log_odds == pytest.approx(np.log(0.75 / 0.25), abs=0.01)
    assert learnt.matches(WordTokens.of("x 12")) == []


def test_a_stored_lexicon_is_read_back(adapter: Path, tmp_path: Path) -> None:
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
    file.write_text("".join(json.dumps(entry) + "\n" for entry in records))
    return file


def test_new_names_join_the_existing_lexicon_and_a_purge_finds_the_folder(
    adapter: Path, tmp_path: Path
) -> None:
    add_lexicon(adapter, [data_file(tmp_path, "first", GOUT)])
    counts = add_lexicon(adapter, [data_file(tmp_path, "second", record("Has asthma.", problem="asthma"))])
    assert counts == {"medication": 1, "problem": 2}
    assert [match.label for match in Lexicon.read(adapter).matches(WordTokens.of("asthma, colchicine"))] == [
        "problem",
        "medication",
    ]
    assert len(read_trained_on(adapter)) == 2


def test_each_corpus_of_a_prepared_folder_counts_only_for_its_own_labels(
    adapter: Path, tmp_path: Path
) -> None:
    silent = record("colchicine, colchicine, colchicine for pain", problem="pain") | {"corpus": "silent"}
    conversation = {"kind": "conversation", "turns": []}
    data_file(tmp_path, "train", conversation, GOUT | {"corpus": "speaking"}, silent)
    assert add_lexicon(adapter, [tmp_path]) == {"medication": 1, "problem": 2}


def test_the_lexicon_file_contains_no_readable_name(adapter: Path, tmp_path: Path) -> None:
    add_lexicon(adapter, [data_file(tmp_path, "first", GOUT)])
    content = (adapter / LEXICON_FILE).read_text()
    assert "gout" not in content
    assert "colchicine" not in content


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"id": "n", "text": "Has gout."}], "no entities to learn names from"),
        ([record("A scan.", test="scan")], "tags problem, medication"),
    ],
)
def test_data_without_usable_entities_is_an_error(
    adapter: Path, tmp_path: Path, records: list[dict[str, object]], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        add_lexicon(adapter, [data_file(tmp_path, "first", *records)])


def test_the_command_prints_the_number_of_names_by_label(
    adapter: Path, tmp_path: Path, notemill: Notemill
) -> None:
    data = data_file(tmp_path, "first", GOUT)
    assert notemill("train", "lexicon", adapter, "--data", data) == 0, notemill.err
    assert "names known: medication 1, problem 1" in notemill.out
    assert notemill("train", "lexicon", adapter, "--data", data, "--json") == 0
    assert json.loads(notemill.out) == {"medication": 1, "problem": 1}


def test_the_command_adds_the_names_of_a_file_and_explains_wrong_arguments(
    adapter: Path, tmp_path: Path, notemill: Notemill
) -> None:
    data, formulary = data_file(tmp_path, "first", GOUT), tmp_path / "formulary.txt"
    formulary.write_text("Colchicine\nallopurinol\n\n")
    command = ("train", "lexicon", adapter, "--data", data, "--names")
    assert notemill(*command, f"medication={formulary}") == 0, notemill.err
    assert "names known: medication 2, problem 1" in notemill.out
    for wrong, message in [
        (str(formulary), "write LABEL=FILE"),
        (f"device={formulary}", "tags problem, medication"),
        (f"medication={tmp_path / 'none.txt'}", "there is no file"),
    ]:
        assert notemill(*command, wrong) == 2
        assert message in notemill.err


def test_a_folder_without_an_adapter_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name the folder of `train finetune`"):
        add_lexicon(tmp_path, [data_file(tmp_path, "first", GOUT)])
