"""Output formats: a JSON answer becomes a text that the grammar allows, or an error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import write_tiny_weights
from transformers import AutoTokenizer

from worker.engine.output_formats import EntityList, OutputFormat, OutputFormatError, Prose, SpanLine
from worker.engine.prompting.grammar import GrammarCompiler

NOTE = "Given aspirin 81 mg for chest pain; p.o. daily.\nDenies fever (39.5 C) or Chest  Pain at night."
LIST = EntityList(NOTE, 3)
PROSE = Prose(NOTE, max_sentences=2, max_characters=80, can_be_none=False)
LINE = SpanLine(NOTE, max_characters=30)
OUTPUT_FORMATS = (LIST, PROSE, LINE)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(NOTE.split()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=6,
)

note_substrings = st.tuples(st.integers(0, len(NOTE)), st.integers(0, 40)).map(
    lambda at: NOTE[at[0] : sum(at)]
)


@pytest.fixture(scope="module")
def allows(tmp_path_factory):
    """A function: True if the grammar of a format accepts the whole text."""
    tokenizer = AutoTokenizer.from_pretrained(write_tiny_weights(tmp_path_factory.mktemp("weights")))
    grammars = GrammarCompiler(tokenizer, len(tokenizer))

    def accepts(output_format: OutputFormat, text: str) -> bool:
        matcher = grammars.matcher(output_format.lark())
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()

    return accepts


def test_list_items_are_words_of_the_note():
    answer = json.dumps(["Aspirin", "insulin", "chest pain", "mg for chest pain; p.o.", ""])
    assert LIST.from_json(answer) == " aspirin; chest pain\n"


def test_a_list_without_items_of_the_note_becomes_none():
    assert LIST.from_json('["insulin"]') == LIST.from_json("[]") == " none\n"


def test_a_sentence_with_a_number_that_is_not_in_the_note_is_dropped():
    answer = json.dumps(
        ["the patient took 81 mg of aspirin p.o.! He had 40 C.", "There was a fever of 39.5 C"]
    )
    assert PROSE.from_json(answer) == "The patient took 81 mg of aspirin po. There was a fever of 39.5 C."


def test_an_answer_without_sentences_is_none_if_allowed_and_otherwise_an_error():
    assert (
        Prose(NOTE, max_sentences=2, max_characters=80, can_be_none=True).from_json('["Took 999 mg."]')
        == "None."
    )
    with pytest.raises(OutputFormatError):
        PROSE.from_json('["Took 999 mg."]')


def test_a_line_of_the_schema_is_accepted():
    offered = LINE.json_schema()["enum"]
    assert "Denies fever (39.5 C) or Chest" in offered
    assert [LINE.from_json(json.dumps(line)) for line in offered] == [f" {line}\n" for line in offered]


@pytest.mark.parametrize(
    "output_format", OUTPUT_FORMATS, ids=lambda output_format: type(output_format).__name__
)
@pytest.mark.parametrize("answer", ["", "TOKEN", '["TOKEN', "3", '{"TOKEN": 1}', '["TOKEN", 1]', "null"])
def test_other_json_is_an_error_that_does_not_quote_the_answer(output_format, answer):
    with pytest.raises(OutputFormatError) as raised:
        output_format.from_json(answer)
    assert "TOKEN" not in str(raised.value)


@given(answer=(json_values | note_substrings | st.lists(note_substrings, max_size=4)).map(json.dumps))
def test_the_text_from_any_json_is_allowed_by_the_grammar(allows, answer):
    for output_format in OUTPUT_FORMATS:
        try:
            text = output_format.from_json(answer)
        except OutputFormatError:
            continue
        output_format.check(text)
        assert allows(output_format, text)


@pytest.mark.parametrize(
    "output_format", OUTPUT_FORMATS, ids=lambda output_format: type(output_format).__name__
)
@pytest.mark.parametrize("text", ["", "Sure! Take 999 mg.\nDaily.", "1. Insulin\n2. Statins 20 mg "])
def test_free_text_does_not_pass_the_check_of_the_format(output_format, text):
    with pytest.raises(OutputFormatError):
        output_format.check(text)
