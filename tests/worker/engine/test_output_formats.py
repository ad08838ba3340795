"""Forms of answers: what a JSON answer says is what the grammar would have had written, or an error."""

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
FORMS = (LIST, PROSE, LINE)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(NOTE.split()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=6,
)

pieces = st.tuples(st.integers(0, len(NOTE)), st.integers(0, 40)).map(lambda at: NOTE[at[0] : sum(at)])


@pytest.fixture(scope="module")
def allows(tmp_path_factory):
    """Whether the form's own grammar takes a text to its end."""
    tokenizer = AutoTokenizer.from_pretrained(write_tiny_weights(tmp_path_factory.mktemp("weights")))
    grammars = GrammarCompiler(tokenizer, len(tokenizer))

    def allowed(form: OutputFormat, text: str) -> bool:
        matcher = grammars.matcher(form.lark())
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()

    return allowed


def test_items_of_a_list_are_the_notes_own_words():
    answer = json.dumps(["Aspirin", "insulin", "chest pain", "mg for chest pain; p.o.", ""])
    assert LIST.from_json(answer) == " aspirin; chest pain\n"


def test_a_list_of_nothing_that_the_note_has_is_none():
    assert LIST.from_json('["insulin"]') == LIST.from_json("[]") == " none\n"


def test_a_sentence_with_a_figure_that_the_note_does_not_have_is_left_out():
    answer = json.dumps(
        ["the patient took 81 mg of aspirin p.o.! He had 40 C.", "There was a fever of 39.5 C"]
    )
    assert PROSE.from_json(answer) == "The patient took 81 mg of aspirin po. There was a fever of 39.5 C."


def test_no_sentence_is_none_where_that_is_allowed_and_an_error_where_it_is_not():
    assert (
        Prose(NOTE, max_sentences=2, max_characters=80, can_be_none=True).from_json('["Took 999 mg."]')
        == "None."
    )
    with pytest.raises(OutputFormatError):
        PROSE.from_json('["Took 999 mg."]')


def test_a_line_is_one_of_those_that_the_schema_offers():
    offered = LINE.json_schema()["enum"]
    assert "Denies fever (39.5 C) or Chest" in offered
    assert [LINE.from_json(json.dumps(line)) for line in offered] == [f" {line}\n" for line in offered]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
@pytest.mark.parametrize("answer", ["", "TOKEN", '["TOKEN', "3", '{"TOKEN": 1}', '["TOKEN", 1]', "null"])
def test_what_is_no_such_json_is_an_error_that_does_not_quote_it(form, answer):
    with pytest.raises(OutputFormatError) as raised:
        form.from_json(answer)
    assert "TOKEN" not in str(raised.value)


@given(answer=(json_values | pieces | st.lists(pieces, max_size=4)).map(json.dumps))
def test_whatever_json_comes_the_text_is_one_that_the_grammar_allows(allows, answer):
    for form in FORMS:
        try:
            text = form.from_json(answer)
        except OutputFormatError:
            continue
        form.check(text)
        assert allows(form, text)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
@pytest.mark.parametrize("text", ["", "Sure! Take 999 mg.\nDaily.", "1. Insulin\n2. Statins 20 mg "])
def test_what_a_server_writes_freely_is_told_from_the_form(form, text):
    with pytest.raises(OutputFormatError):
        form.check(text)
