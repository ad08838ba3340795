"""Prompts as tokens, in the chat format that the weights' own tokenizer brings.

The format's control tokens are tokens; what comes from a note or a query is plain text even where it
imitates them (`[INST]`, `<|im_end|>`): it is encoded with special tokens split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worker.engine.api import Choice, Prompt

_HERE = "\N{OBJECT REPLACEMENT CHARACTER}"
_PLACES_APART = 512
"""More than a window has. The answers were as good behind the very document, at 378 and at 512
(docs/decisions/cached-question-prefix.md)."""


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A prompt's tokens."""

    tokens: list[int]
    shared_tokens: int
    """How many of them at the beginning are the document's."""
    head_tokens: int
    """How many of these, the head, stand before every document."""

    @property
    def question_tokens(self) -> list[int]:
        """The tokens of one that is read apart from the document, the head before it."""
        return self.tokens[: self.head_tokens] + self.tokens[self.shared_tokens :]

    @property
    def question_position(self) -> int:
        """Where in a sequence it then stands, its head aside; the same for documents of about one length."""
        return -(-self.shared_tokens // _PLACES_APART) * _PLACES_APART


class Chat:
    """Encodes prompts for one tokenizer (fast, from Hugging Face)."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        before, after = _around(tokenizer)
        self._before = self._encode(before, special=True)
        self._after = self._encode(after, special=True)

    def encode(self, prompt: Prompt) -> EncodedPrompt:
        """Document first: its tokens do not depend on the question."""
        shared = self._before + self.plain(prompt.document)
        answer = self.plain(prompt.answer_start) if prompt.answer_start else []
        tokens = shared + self.plain(prompt.question) + self._after + answer
        return EncodedPrompt(tokens, len(shared), len(self._before))

    def plain(self, text: str) -> list[int]:
        """Tokens of text in which nothing is special."""
        return self._encode(text, special=False)

    def plain_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Tokens of plain text, and for each its characters [start, end)."""
        encoded = self.tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
        )
        return list(encoded["input_ids"]), [tuple(pair) for pair in encoded["offset_mapping"]]

    def decode(self, tokens: list[int]) -> str:
        """The text of written tokens, without the end token."""
        text: str = self.tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _encode(self, text: str, *, special: bool) -> list[int]:
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=not special)
        return list(encoded["input_ids"])


def token_positions(choice: Choice, offsets: Sequence[tuple[int, int]]) -> Sequence[int]:
    """The tokens after which the choice is made."""
    return range(len(offsets)) if choice.ends is None else positions_at_ends(choice.ends, offsets)


def positions_at_ends(ends: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """For each character end the first token that reaches it; the last token where none does.

    `ends` ascend; `offsets`: each token's characters [start, end).
    """
    positions, position = [], 0
    for end in ends:
        while position < len(offsets) - 1 and offsets[position][1] < end:
            position += 1
        positions.append(position)
    return positions


def _around(tokenizer: Any) -> tuple[str, str]:
    """What stands before and after the user's words, the assistant's turn opened."""
    if not tokenizer.chat_template:
        return (tokenizer.bos_token or ""), "\n\n"
    rendered: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": _HERE}], tokenize=False, add_generation_prompt=True
    )
    before, _, after = rendered.partition(_HERE)
    return before, after
