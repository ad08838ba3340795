"""Chat template: encodes prompts as tokens in the chat format of the weights' tokenizer.

Only the template itself contributes control tokens. Text of notes and queries is encoded with special tokens
split, so that text which imitates a control token (`[INST]`, `<|im_end|>`) stays plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worker.engine.api import Choice, Prompt

_PLACEHOLDER = "\N{OBJECT REPLACEMENT CHARACTER}"
_POSITION_STEP = 512
"""Cached questions stand at multiples of this, more tokens than a window has. Answers were as good right
behind the document, at 378 and at 512 (docs/decisions/cached-question-prefix.md)."""


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """The tokens of a prompt: head, document, question."""

    tokens: list[int]
    shared_tokens: int
    """Number of tokens of head and document, the prefix that questions share."""
    head_tokens: int
    """Number of tokens of the head, which stands before every document."""

    @property
    def question_tokens(self) -> list[int]:
        """Head and question without the document, as a cached question is computed."""
        return self.tokens[: self.head_tokens] + self.tokens[self.shared_tokens :]

    @property
    def question_position(self) -> int:
        """Position of a cached question after its head; equal for documents of similar length."""
        return -(-self.shared_tokens // _POSITION_STEP) * _POSITION_STEP


class Chat:
    """Encodes prompts with one fast Hugging Face tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        before, after = _turn_delimiters(tokenizer)
        self._before = self._encode(before, special=True)
        self._after = self._encode(after, special=True)

    def encode(self, prompt: Prompt) -> EncodedPrompt:
        """Encodes the document first, so that its tokens do not depend on the question."""
        shared = self._before + self.plain(prompt.document)
        answer = self.plain(prompt.answer_start) if prompt.answer_start else []
        tokens = shared + self.plain(prompt.question) + self._after + answer
        return EncodedPrompt(tokens, len(shared), len(self._before))

    def plain(self, text: str) -> list[int]:
        """Tokens of plain text, without special tokens."""
        return self._encode(text, special=False)

    def plain_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Tokens of plain text, and the characters [start, end) of each."""
        encoded = self.tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
        )
        return list(encoded["input_ids"]), [tuple(pair) for pair in encoded["offset_mapping"]]

    def decode(self, tokens: list[int]) -> str:
        """The text of generated tokens, without the end token."""
        text: str = self.tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _encode(self, text: str, *, special: bool) -> list[int]:
        encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=not special)
        return list(encoded["input_ids"])


def token_positions(choice: Choice, offsets: Sequence[tuple[int, int]]) -> Sequence[int]:
    """Indexes of the tokens after which the choice is made; `offsets`: characters [start, end) of each
    token."""
    return range(len(offsets)) if choice.ends is None else positions_at_ends(choice.ends, offsets)


def positions_at_ends(ends: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """The first token that reaches each character offset in `ends`, or else the last token.

    `ends` ascend; `offsets`: characters [start, end) of each token.
    """
    positions, position = [], 0
    for end in ends:
        while position < len(offsets) - 1 and offsets[position][1] < end:
            position += 1
        positions.append(position)
    return positions


def _turn_delimiters(tokenizer: Any) -> tuple[str, str]:
    """The text before and after a user message, with the assistant's turn opened."""
    if not tokenizer.chat_template:
        return (tokenizer.bos_token or ""), "\n\n"
    rendered: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": _PLACEHOLDER}], tokenize=False, add_generation_prompt=True
    )
    before, _, after = rendered.partition(_PLACEHOLDER)
    return before, after
