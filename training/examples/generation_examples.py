"""Generation examples: chat turns, summary sections and lists of mentions, with the worker's own prompts.

An answer that its grammar does not allow is left out and counted. Does not import torch.
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
"""The section of our summaries by the section name of MTS-Dialog."""
_SENTENCES = 2
"""Sentences of a section, as in a summary of 120 words."""
_EMPTY_ANSWERS = frozenset(
    {"none", "no", "n/a", "none known", "negative", "noncontributory", "not applicable"}
)
_TURN_TEXT = "\N{OBJECT REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class GenerationExample:
    """A request of the worker, and its gold answer."""

    request: GenerateRequest
    answer: str


def section_answers(rows: Sequence[dict[str, Any]], refused: Counter[str]) -> Iterator[GenerationExample]:
    """Yields a dialogue as the note, with the section that a person wrote from it as the answer."""
    for row in rows:
        section = SECTION_OF.get(row["section"])
        if section is None:
            continue
        request = section_request(row["dialogue"], SECTION_QUESTIONS[section], _SENTENCES)
        text = row["section_text"].strip()
        statements = [text[sentence.start : sentence.end] for sentence in sentences(text)][:_SENTENCES]
        if text.lower().rstrip(". ") in _EMPTY_ANSWERS:
            statements = []
        assert request.output_format is not None
        try:
            answer = request.output_format.from_json(json.dumps(statements))
        except OutputFormatError:
            answer = "None."
        if statements and (answer == "None." or len(list(sentences(answer))) < len(statements)):
            refused["a figure that the dialogue does not have, or no sentence of the form"] += 1
            continue
        yield GenerationExample(request, answer)


def list_answers(
    corpus: str, records: Sequence[dict[str, Any]], labels: Sequence[Label], max_characters: int
) -> Iterator[GenerationExample]:
    """Yields for each window and annotated label the list of its mentions, each once, in text order."""
    names = LABELS_OF[corpus]
    list_labels = [
        label for label in labels if label.name in names.values() and label.name not in PATTERN_KINDS
    ]
    for record in records:
        for start, end in windows_of(record, max_characters):
            inside = [
                entity for entity in record["entities"] if start <= entity["start"] and entity["end"] <= end
            ]
            for label in list_labels:
                mentions = [entity for entity in inside if names.get(entity["label"]) == label.name]
                surfaces = [record["text"][mention["start"] : mention["end"]] for mention in mentions]
                items = list(dict.fromkeys(surfaces))[:LIST_ITEMS]
                yield GenerationExample(
                    list_request(record["text"][start:end], label), " " + ("; ".join(items) or "none") + "\n"
                )


class GenerationSequences:
    """Turns generation examples into token sequences with one tokenizer and its grammars."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._end = [chat.tokenizer.eos_token_id]
        self._grammars = GrammarCompiler(chat.tokenizer, len(chat.tokenizer))
        self.refused: Counter[str] = Counter()

    def answer(self, example: GenerationExample, kind: str) -> TrainingSequence | None:
        """The sequence of an example; None, and counted, if the grammar does not allow the answer."""
        output_format = example.request.output_format
        return self.of(
            example.request.prompt, output_format.lark() if output_format else None, example.answer, kind
        )

    def of(self, prompt: Prompt, lark: str | None, text: str, kind: str) -> TrainingSequence | None:
        """The same for a prompt and answer text. `lark`: the grammar as Lark text, or None."""
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
        """The sequence of a conversation; the loss counts every answer and its end token."""
        roles = {HUMAN: "user", ASSISTANT: "assistant"}
        rendered = self._chat.tokenizer.apply_chat_template(
            [{"role": roles[role], "content": _TURN_TEXT} for role, _ in turns], tokenize=False
        )
        template_parts = rendered.split(_TURN_TEXT)
        tokens = self._template(template_parts[0])
        answer_positions: list[int] = []
        for (role, text), after in zip(turns, template_parts[1:], strict=True):
            first = len(tokens)
            tokens += self._chat.plain(text)
            following = self._template(after)
            if role == ASSISTANT:
                if following[:1] != self._end:
                    following = [*self._end, *following]
                answer_positions += range(first, len(tokens) + 1)
            tokens += following
        return TrainingSequence(kind, tokens[: answer_positions[-1] + 1], answers=tuple(answer_positions))

    def _template(self, text: str) -> list[int]:
        return list(
            self._chat.tokenizer(text, add_special_tokens=False, split_special_tokens=False)["input_ids"]
        )
