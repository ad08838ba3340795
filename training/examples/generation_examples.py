"""Generation examples: chat turns, summary sections, lists of mentions, requested as the worker requests
them.

An answer that its grammar does not allow is refused and counted. Does not import torch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from models.labels import Label
from training.examples.conversations import ASSISTANT, HUMAN
from training.examples.task_examples import LABELS_OF, windows_of
from training.examples.training_sequences import TrainingSequence
from worker.engine.api import GenerateRequest, Prompt
from worker.engine.output_formats import OutputFormatError
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.grammar import GrammarCompiler
from worker.entities.attribute_patterns import PATTERN_KINDS
from worker.entities.entity_task import LIST_ITEMS, list_request
from worker.note.sentence_splitter import sentences
from worker.summary.abstractive import SECTION_QUESTIONS, section_request

SECTION_OF = {
    "ASSESSMENT": "Problems",
    "DIAGNOSIS": "Problems",
    "PASTMEDICALHX": "Problems",
    "CC": "Problems",
    "GENHX": "Course",
    "EDCOURSE": "Course",
    "PROCEDURES": "Course",
    "MEDICATIONS": "Medications",
    "PLAN": "Follow-up",
    "DISPOSITION": "Follow-up",
}
"""Summary sections by the names that MTS-Dialog gives them."""
_SENTENCES = 2
"""Sentences of a section, as in a summary of 120 words."""
_NONE = frozenset({"none", "no", "n/a", "none known", "negative", "noncontributory", "not applicable"})
_HERE = "\N{OBJECT REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class GenerationExample:
    """A request as the worker makes it, and its answer."""

    request: GenerateRequest
    answer: str


def section_answers(rows: Sequence[dict[str, Any]], refused: Counter[str]) -> Iterator[GenerationExample]:
    """A dialogue as the note, the section that was written from it as the answer."""
    for row in rows:
        section = SECTION_OF.get(row["section"])
        if section is None:
            continue
        request = section_request(row["dialogue"], SECTION_QUESTIONS[section], _SENTENCES)
        text = row["section_text"].strip()
        told = [text[one.start : one.end] for one in sentences(text)][:_SENTENCES]
        if text.lower().rstrip(". ") in _NONE:
            told = []
        assert request.output_format is not None
        try:
            answer = request.output_format.from_json(json.dumps(told))
        except OutputFormatError:
            answer = "None."
        if told and (answer == "None." or len(list(sentences(answer))) < len(told)):
            refused["a figure that the dialogue does not have, or no sentence of the form"] += 1
            continue
        yield GenerationExample(request, answer)


def list_answers(
    corpus: str, records: Sequence[dict[str, Any]], labels: Sequence[Label], max_characters: int
) -> Iterator[GenerationExample]:
    """A window and a label that the corpus annotates: its mentions in the order of the note, each once."""
    names = LABELS_OF[corpus]
    listed = [one for one in labels if one.name in names.values() and one.name not in PATTERN_KINDS]
    for record in records:
        for start, end in windows_of(record, max_characters):
            inside = [one for one in record["entities"] if start <= one["start"] and one["end"] <= end]
            for label in listed:
                mentions = [one for one in inside if names.get(one["label"]) == label.name]
                surfaces = [record["text"][one["start"] : one["end"]] for one in mentions]
                items = list(dict.fromkeys(surfaces))[:LIST_ITEMS]
                yield GenerationExample(
                    list_request(record["text"][start:end], label), " " + ("; ".join(items) or "none") + "\n"
                )


class WrittenPieces:
    """Written examples in tokens, as one tokenizer and its grammars have them."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._end = [chat.tokenizer.eos_token_id]
        self._grammars = GrammarCompiler(chat.tokenizer, len(chat.tokenizer))
        self.refused: Counter[str] = Counter()

    def answer(self, written: GenerationExample, kind: str) -> TrainingSequence | None:
        """None, and counted, where the grammar does not allow the answer."""
        output_format = written.request.output_format
        return self.of(
            written.request.prompt, output_format.lark() if output_format else None, written.answer, kind
        )

    def of(self, prompt: Prompt, lark: str | None, text: str, kind: str) -> TrainingSequence | None:
        """The same, of a prompt with its grammar as Lark text, if it has one."""
        answer = self._chat.plain(text)
        if lark is not None:
            matcher = self._grammars.matcher(lark)
            if matcher.try_consume_tokens(answer) != len(answer) or not matcher.is_accepting():
                self.refused[f"{kind}: not as its grammar has it"] += 1
                return None
        before = self._chat.encode(prompt).tokens
        tokens = [*before, *answer, *self._end]
        return TrainingSequence(kind, tokens, answers=tuple(range(len(before), len(tokens))))

    def conversation(self, turns: Sequence[Sequence[str]], kind: str) -> TrainingSequence:
        """Every answer of it is learnt, with the token that ends it."""
        roles = {HUMAN: "user", ASSISTANT: "assistant"}
        rendered = self._chat.tokenizer.apply_chat_template(
            [{"role": roles[role], "content": _HERE} for role, _ in turns], tokenize=False
        )
        around = rendered.split(_HERE)
        tokens = self._template(around[0])
        learnt: list[int] = []
        for (role, text), after in zip(turns, around[1:], strict=True):
            first = len(tokens)
            tokens += self._chat.plain(text)
            following = self._template(after)
            if role == ASSISTANT:
                if following[:1] != self._end:
                    following = [*self._end, *following]
                learnt += range(first, len(tokens) + 1)
            tokens += following
        return TrainingSequence(kind, tokens[: learnt[-1] + 1], answers=tuple(learnt))

    def _template(self, text: str) -> list[int]:
        return list(
            self._chat.tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"]
        )
