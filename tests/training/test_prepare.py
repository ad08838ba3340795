"""`notemill train prepare`: file formats, broken rows, duplicates, held-out texts and splits."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.data_tables import BrokenRow, read_rows
from training.data.held_out import HeldOut
from training.data.medical_filter import is_medical
from training.data.near_duplicates import NearIndex, exact_key
from training.data.prepared_folder import read_prepared
from training.examples.conversations import BrokenConversationError, read_conversation

if TYPE_CHECKING:
    from commands import Notemill

pytest_plugins = ("commands",)
PREAMBLE = "The conversation between Human and AI assisatance named Gathnex"
SYMPTOMS = (
    "fever and cough", "chest pain", "a swollen knee", "an itching rash", "blurred vision", "bleeding gums",
    "a stiff neck", "numbness of the hand", "vomiting at night", "a painful shoulder",
)  # fmt: skip
GATH = [
    {
        "chat_sample": f"{PREAMBLE}{' ' if number % 2 else chr(10)}[INST] What causes {symptom}?\n"
        f"[/INST] {symptom} may come from infection or injury, and a doctor should see patient {number}.",
        "dataset_origin": "medical_qa",
    }
    for number, symptom in enumerate(SYMPTOMS)
]
OTHER = {
    "chat_sample": f"{PREAMBLE} [INST] How do I sort a list?\n[/INST] Call sorted.",
    "dataset_origin": "stack",
}


def baize(question: str, answer: str) -> str:
    return (
        "The conversation between human and AI assistant.\n"
        f"[|Human|] {question}\n[|AI|] {answer}\n[|Human|] Thanks!\n[|AI|] You are welcome.\n[|Human|] "
    )


def write_rows(path: Path, rows: list[dict]) -> Path:
    if path.name.endswith(".csv.gz"):
        with gzip.open(path, "wt", newline="") as file:
            _csv(file, rows)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            _csv(file, rows)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(json.dumps(rows))
    return path


def _csv(file, rows) -> None:
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)


@pytest.mark.parametrize("name", ["g.csv", "g.csv.gz", "g.parquet", "g.json", "g.jsonl"])
def test_a_data_set_is_read_in_every_file_format(name: str, tmp_path: Path, notemill: Notemill) -> None:
    source = write_rows(tmp_path / name, [*GATH, OTHER])
    facts = notemill.json("train", "prepare", source, "-o", tmp_path / "out")
    assert facts["kept"] == {"conversation": 10}
    assert facts["dropped"] == {"not medical": 1}
    assert facts["train"] + facts["validation"] == 10


def test_a_pandas_json_table_becomes_rows(tmp_path: Path) -> None:
    columns = {name: {str(n): row[name] for n, row in enumerate(GATH)} for name in GATH[0]}
    (tmp_path / "g.json").write_text(json.dumps(columns))
    assert list(read_rows(tmp_path / "g.json")) == GATH


@pytest.mark.parametrize("between", [" ", "\n"])
def test_a_gath_sample_is_a_question_and_an_answer(between: str) -> None:
    conversation = read_conversation(f"{PREAMBLE}{between}[INST] What is gout?\n[/INST] A disease.</s>")
    assert conversation.turns == (("human", "What is gout?"), ("assistant", "A disease."))
    assert conversation.has_preamble


def test_a_baize_sample_becomes_its_turns_without_the_empty_last_one() -> None:
    conversation = read_conversation(baize("What is gout?", "A disease."))
    assert [text for _, text in conversation.turns] == [
        "What is gout?",
        "A disease.",
        "Thanks!",
        "You are welcome.",
    ]


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (None, "empty"),
        ("What is gout? A disease.", "no turns"),
        ("[INST] a [INST] b [/INST] c", "turns do not alternate"),
        ("[INST] a [/INST] b [INST] c", "no answer to the last question"),
        ("[INST] [/INST] b", "an empty turn"),
        ("Well then [INST] a [/INST] b", "words before the first turn"),
    ],
)
def test_a_broken_row_is_rejected_with_its_reason(sample: object, reason: str) -> None:
    with pytest.raises(BrokenConversationError, match=reason):
        read_conversation(sample)


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab .?\n", min_size=1).filter(str.strip), min_size=2, max_size=6))
def test_turns_round_trip(texts: list[str]) -> None:
    texts = texts[: len(texts) // 2 * 2]
    sample = PREAMBLE + "".join(f"[{'/' * (n % 2)}INST] {text}" for n, text in enumerate(texts))
    assert [text for _, text in read_conversation(sample).turns] == [text.strip() for text in texts]


def test_baize_file_names_give_the_origin(tmp_path: Path, notemill: Notemill) -> None:
    for topic in ("medical", "quora"):
        rows = [
            {"topic": s, "input": baize(f"What causes {s}?", f"{topic}: {s} may come of it.")}
            for s in SYMPTOMS
        ]
        write_rows(tmp_path / f"{topic}_chat_data.json", rows)
    facts = notemill.json("train", "prepare", tmp_path, "-o", tmp_path / "out")
    assert facts["origins"] == {"medical": 10, "quora": 10}
    assert facts["kept"] == {"conversation": 10}


def test_without_an_origin_the_words_decide_what_is_medical(tmp_path: Path, notemill: Notemill) -> None:
    source = write_rows(tmp_path / "g.jsonl", [{"chat_sample": row["chat_sample"]} for row in [*GATH, OTHER]])
    facts = notemill.json("train", "prepare", source, "-o", tmp_path / "out")
    assert facts["dropped"] == {"not medical": 1}


def test_a_question_on_bread_or_code_is_not_medical() -> None:
    assert not is_medical("How does one bake bread? Mix flour and water, wait for an hour, bake it hot.")
    assert not is_medical("What does random.choice do? It chooses one from a list of numbers, with one gene.")
    assert is_medical("Is measles dangerous? It is an infection; children may need a doctor.")


def test_an_unknown_origin_is_an_error_that_lists_the_origins(tmp_path: Path, notemill: Notemill) -> None:
    source = write_rows(tmp_path / "g.csv", [row | {"dataset_origin": "baize_2"} for row in GATH])
    assert notemill("train", "prepare", source, "-o", tmp_path / "out") == 2
    assert "baize_2 (10)" in notemill.err
    assert notemill("train", "prepare", source, "-o", tmp_path / "out", "--medical-origin", "baize_2") == 0


def test_duplicates_and_near_duplicates_are_kept_once(tmp_path: Path, notemill: Notemill) -> None:
    long = GATH[0]["chat_sample"] + " ".join(f" Advice {n} is rest, fluids and time." for n in range(12))
    nearly = [
        {**GATH[0], "chat_sample": text}
        for text in (long, long.upper().replace("INST", "INST"), long + " So.")
    ]
    facts = notemill.json(
        "train", "prepare", write_rows(tmp_path / "g.csv", [*GATH, *nearly]), "-o", tmp_path / "out"
    )
    assert facts["dropped"] == {"the same": 1, "nearly the same": 1}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=90, max_size=120), st.integers(0, 89))
def test_a_text_with_one_changed_word_is_a_near_duplicate(words: list[str], place: int) -> None:
    index = NearIndex()
    text = [f"{word}{number}" for number, word in enumerate(words)]
    assert index.add(" ".join(text))
    changed = [*text[:place], "other", *text[place + 1 :]]
    assert not index.add(" ".join(changed))
    assert index.add(" ".join(reversed(text)))


def test_case_and_punctuation_do_not_distinguish_texts() -> None:
    assert exact_key("Is it  gout?") == exact_key("is it gout")
    assert exact_key("Is it gout") != exact_key("is it a gout")


def test_text_of_an_evaluation_set_is_dropped(tmp_path: Path, notemill: Notemill) -> None:
    held = "The patient was seen in clinic on Monday with three weeks of pain in the left knee after a fall."
    leak = {
        "chat_sample": f"{PREAMBLE} [INST] Summarize.\n[/INST] It says: {held}",
        "dataset_origin": "medical_qa",
    }
    write_rows(tmp_path / "test.jsonl", [{"id": "1", "text": held}])
    source = write_rows(tmp_path / "g.csv", [*GATH, leak])
    facts = notemill.json("train", "prepare", source, "-o", tmp_path / "out", "--held-out", tmp_path)
    assert facts["dropped"] == {"in a held-out text": 1}
    assert facts["held_out"]["texts"] == 1
    assert "left knee" not in (tmp_path / "out" / "train.jsonl").read_text()


def test_a_folders_own_test_files_are_not_read(tmp_path: Path, notemill: Notemill) -> None:
    (tmp_path / "data").mkdir()
    write_rows(tmp_path / "data" / "train.csv", GATH)
    write_rows(tmp_path / "data" / "test.csv", GATH[:3])
    facts = notemill.json(
        "train", "prepare", tmp_path / "data", "-o", tmp_path / "out", "--origin-column", "x"
    )
    assert facts["rows"] == {"data/train.csv": 10}


def test_conversations_with_the_same_opening_are_in_the_same_split(
    tmp_path: Path, notemill: Notemill
) -> None:
    rows = [
        {
            "topic": "t",
            "input": baize(f"What causes {symptom}?", f"{symptom}: infection, said doctor {n * 7} of {n}."),
        }
        for symptom in SYMPTOMS
        for n in range(3)
    ]
    source = write_rows(tmp_path / "medical_chat_data.json", rows)
    notemill("train", "prepare", source, "-o", tmp_path / "out", "--validation-share", 0.4)
    prepared = read_prepared(tmp_path / "out")
    sides = [{record["turns"][0][1] for record in half} for half in (prepared.train, prepared.validation)]
    assert all(sides)
    assert not sides[0] & sides[1]


def test_preparing_twice_gives_the_same_data(tmp_path: Path, notemill: Notemill) -> None:
    source = write_rows(tmp_path / "g.csv", GATH)
    hashes = {notemill.json("train", "prepare", source, "-o", tmp_path / n)["sha256"] for n in ("one", "two")}
    assert len(hashes) == 1


def test_inspect_shows_origins_columns_and_samples_and_writes_nothing(
    tmp_path: Path, notemill: Notemill
) -> None:
    source = write_rows(tmp_path / "g.csv", [*GATH, OTHER, {**OTHER, "chat_sample": "no marks"}])
    assert notemill("train", "prepare", source, "--inspect") == 0
    assert "columns chat_sample, dataset_origin" in notemill.out
    assert "no turns" in notemill.out
    assert "assisatance named Gathnex" in notemill.out
    assert [path.name for path in tmp_path.iterdir()] == ["g.csv"]


def test_prepared_files_are_readable_by_their_owner_only(tmp_path: Path, notemill: Notemill) -> None:
    notemill("train", "prepare", write_rows(tmp_path / "g.csv", GATH), "-o", tmp_path / "out")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o600}


def test_broken_rows_of_every_form_are_counted(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("a,b\n1,2,3\n1,2\n")
    (tmp_path / "g.jsonl").write_text('{"a": 1}\nnot json\n[1]\n')
    (tmp_path / "g.parquet").write_text("no parquet")
    rows = [row for name in ("g.csv", "g.jsonl", "g.parquet") for row in read_rows(tmp_path / name)]
    assert sum(isinstance(row, BrokenRow) for row in rows) == 4


def test_a_name_on_the_hub_must_be_pinned(notemill: Notemill, tmp_path: Path) -> None:
    assert notemill("train", "prepare", "gathnex/Gath_baize", "-o", tmp_path / "out") == 2
    assert "--revision COMMIT" in notemill.err


def test_a_common_sentence_is_no_leak() -> None:
    usual = (
        "No masses or trauma are noted of the head and the neck is supple without adenopathy or thyromegaly."
    )
    held = HeldOut([usual + " " + " ".join(f"held{n}" for n in range(60))])
    assert not held.is_in(usual + " " + " ".join(f"own{n}" for n in range(100)))
    assert held.is_in(" ".join(f"held{n}" for n in range(60)))
