"""The short form of the comparison's peers: the grammar allows the training answers, and they parse back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny import write_tiny_weights
from transformers import AutoTokenizer

from benchmarks.comparison.short_answers import (
    answering_parts,
    entities_answer,
    entities_prompt,
    parse_entities,
    search_prompt,
    text_units,
)
from benchmarks.comparison.writing_adapter import ENTITY_CORPORA, SEARCH_CORPORA, corpus_examples
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.grammar import GrammarCompiler
from worker.entities.list_grounding import ListItem

NOTE = "Asthma and gout; takes aspirin. No other complaints."
LABELS = ["problem", "medication", "test"]


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    return Chat(AutoTokenizer.from_pretrained(write_tiny_weights(tmp_path_factory.mktemp("weights"))))


def is_allowed(chat: Chat, lark: str, answer: str) -> bool:
    tokens = chat.plain(answer)
    matcher = GrammarCompiler(chat.tokenizer, len(chat.tokenizer)).matcher(lark)
    return bool(matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting())


@pytest.mark.parametrize(
    "items",
    [[], [ListItem("problem", "Asthma"), ListItem("problem", "gout"), ListItem("medication", "aspirin")]],
    ids=["none", "some"],
)
def test_the_grammar_allows_an_entity_list_and_it_parses_back(chat: Chat, items: list[ListItem]) -> None:
    answer = entities_answer(items)
    assert is_allowed(chat, entities_prompt(0, NOTE, LABELS).lark, answer)
    assert parse_entities(answer) == items


def test_the_grammar_forbids_words_that_are_not_in_the_note(chat: Chat) -> None:
    lark = entities_prompt(0, NOTE, LABELS).lark
    assert not is_allowed(chat, lark, "problem: angina\n")
    assert not is_allowed(chat, lark, "disease: gout\n")


def test_a_sentence_gets_yes_or_no_and_a_window_gets_quotations(chat: Chat) -> None:
    first, second = [NOTE[span.start : span.end] for span in text_units(NOTE, "sentences")]
    assert is_allowed(chat, search_prompt(0, first, "joints?", "sentences").lark, " yes")
    assert answering_parts(first, " yes", "sentences") == [first]
    assert answering_parts(second, " no", "sentences") == []
    assert is_allowed(chat, search_prompt(0, NOTE, "joints?").lark, " gout; aspirin\n")
    assert answering_parts(NOTE, " gout; aspirin\n", "windows") == ["gout", "aspirin"]


def test_training_examples_use_the_prompts_of_the_comparison(chat: Chat, tmp_path: Path) -> None:
    for name in {*ENTITY_CORPORA, *SEARCH_CORPORA}:
        (tmp_path / name).mkdir()
        label = "Disease" if name != "maccrobat" else "Disease_disorder"
        record = {"id": "1", "text": NOTE, "entities": [_entity("gout", label)]}
        (tmp_path / name / "train.jsonl").write_text(json.dumps(record) + "\n")
    examples = corpus_examples(tmp_path, LABELS, chat, 1_300)
    answers = [
        chat.decode([example.tokens[position] for position in example.answers]).strip()
        for example in examples
    ]
    lists = [text for text, example in zip(answers, examples, strict=True) if example.kind == "entities"]
    assert lists == ["problem: gout", "none"] * 2
    assert {"yes", "no"} == set(answers[len(lists) :])
    asked = chat.encode(entities_prompt(0, NOTE[:31], ["problem", "medication"]).prompt).tokens
    assert list(examples[0].tokens[: len(asked)]) == asked


def _entity(text: str, label: str) -> dict[str, Any]:
    start = NOTE.index(text)
    return {"start": start, "end": start + len(text), "text": text, "label": label, "concept": "C1"}
