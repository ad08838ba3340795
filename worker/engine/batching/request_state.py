"""Requests as branches, and branches that are done as replies. Knows no torch and no scheduler."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from worker.engine.api import (
    Choice,
    GenerateRequest,
    GenerateResult,
    PromptRequest,
    Reply,
    RequestError,
    ScoreRequest,
    ScoreResult,
    Scores,
)
from worker.engine.batching.prefix_cache import PrefixCache
from worker.engine.batching.sequences import Continuation
from worker.engine.prompting.chat_template import Chat, EncodedPrompt, token_positions
from worker.engine.prompting.grammar import GrammarCompiler
from worker.telemetry.usage_meter import UsageMeter


@dataclass(frozen=True, slots=True)
class EncodedChoice:
    """A choice in tokens."""

    positions: tuple[int, ...]
    """Tokens of the copy after which it is made."""
    spans: tuple[tuple[int, int], ...]
    """Their characters."""
    columns: tuple[int, ...]
    """The first token of each of its words."""


class QuestionPrefix(NamedTuple):
    """A question that is read apart from the document."""

    tokens: tuple[int, ...]
    head_tokens: int
    """The first of them, which stand before every document."""
    start_position: int
    """Where in a sequence the others begin to stand."""


@dataclass(slots=True, eq=False)
class RequestState:
    """A request on its way."""

    request: PromptRequest
    prefix_tokens: tuple[int, ...]
    question_tokens: list[int]
    """The tokens after the beginning, up to where deciding or writing starts."""
    question_prefix: QuestionPrefix | None = None
    """Where it is read apart; then none of it is in `prompt`."""
    copy_tokens: list[int] = field(default_factory=list)
    """Decide: the second copy of the text."""
    choices: tuple[EncodedChoice, ...] = ()
    end_token: int = -1
    matcher: Any = None
    """Write under a grammar: where the grammar stands."""
    is_urgent: bool = False
    continuation: Continuation | None = None
    """Set by `start`."""
    num_draft_tokens: int = 0
    """Tokens at the branch's end that are yet to be verified."""
    num_forced_tokens: int = 0
    """How many of them, the first, the grammar forces; the others were looked up."""
    is_complete: bool = False
    error: RequestError | None = None
    """Why it ends without an answer, where it does."""
    reply: Future[Reply] = field(default_factory=Future)

    @property
    def planned_tokens(self) -> int:
        """The most it can become."""
        apart = (
            len(self.question_prefix.tokens) - self.question_prefix.head_tokens if self.question_prefix else 0
        )
        more = self.request.max_tokens if isinstance(self.request, GenerateRequest) else len(self.copy_tokens)
        return len(self.prefix_tokens) + apart + len(self.question_tokens) + more

    @property
    def positions(self) -> list[int]:
        """Tokens of the copy after which anything is decided, each once."""
        return sorted({position for choice in self.choices for position in choice.positions})

    @property
    def num_generated_tokens(self) -> int:
        assert self.continuation is not None
        return len(self.continuation.tokens) - self.num_draft_tokens - len(self.question_tokens)

    @property
    def is_finished(self) -> bool:
        """Written: closed by the grammar or the end token, or cut by its limit."""
        assert isinstance(self.request, GenerateRequest)
        return self.is_complete or self.num_generated_tokens >= self.request.max_tokens

    def start(self, prefix_cache: PrefixCache) -> Continuation:
        """The branch to be scheduled; what was written before, if anything, is part of it."""
        written: list[int] = []
        if isinstance(self.request, GenerateRequest) and self.continuation is not None:
            written = self.continuation.tokens[
                len(self.question_tokens) : len(self.continuation.tokens) - self.num_draft_tokens
            ]
        self.num_draft_tokens = 0
        kept = (
            len(self.question_tokens) + self.request.max_tokens
            if isinstance(self.request, GenerateRequest)
            else 0
        )
        tokens = [*self.question_tokens, *self.copy_tokens, *written]
        uses_adapter, question = self.request.prompt.uses_adapter, None
        if self.question_prefix is not None:
            question = prefix_cache.find(**self.question_prefix._asdict(), uses_adapter=uses_adapter)
        self.continuation = Continuation(
            prefix=prefix_cache.find(self.prefix_tokens, uses_adapter=uses_adapter),
            tokens=tokens,
            logit_indexes=(len(tokens) - 1,)
            if kept
            else tuple(len(self.question_tokens) + position for position in self.positions),
            columns=tuple(column for choice in self.choices for column in choice.columns),
            question_prefix=question,
            reserved_tokens=kept,
        )
        return self.continuation

    def resolve(self, logits: npt.NDArray[np.float32], chat: Chat) -> None:
        """Hands over the reply. `logits`: [wanted, columns] of a decision; not used otherwise."""
        assert self.continuation is not None
        if self.error is not None:
            self.reply.set_result(self.error)
            return
        if isinstance(self.request, ScoreRequest):
            self.reply.set_result(ScoreResult(self._scores(logits), self.planned_tokens))
            return
        written = self.continuation.tokens[len(self.question_tokens) :]
        prompt_tokens = len(self.prefix_tokens) + len(self.question_tokens)
        text = chat.decode(written)
        self.reply.set_result(GenerateResult(text, self.is_complete, prompt_tokens, len(written)))

    def _scores(self, logits: npt.NDArray[np.float32]) -> tuple[Scores, ...]:
        """Each choice's part of the logits: its own places, its own words."""
        row_of = {position: row for row, position in enumerate(self.positions)}
        scores, first = [], 0
        for choice in self.choices:
            rows = [row_of[position] for position in choice.positions]
            own = logits[rows, first : first + len(choice.columns)]
            scores.append(Scores(choice.spans, _normalised(own)))
            first += len(choice.columns)
        return tuple(scores)


def encode_request(
    request: PromptRequest, chat: Chat, grammars: GrammarCompiler, *, context_tokens: int, meter: UsageMeter
) -> RequestState | RequestError:
    """The request as tokens; a refusal with the numbers where they cannot fit."""
    encoded = chat.encode(request.prompt)
    prefix = tuple(encoded.tokens[: encoded.shared_tokens])
    is_question_cached = isinstance(request, ScoreRequest) and request.is_question_cached
    prompt = [] if is_question_cached else encoded.tokens[encoded.shared_tokens :]
    asked = RequestState(request, prefix, prompt, end_token=chat.tokenizer.eos_token_id)
    if isinstance(request, ScoreRequest):
        copy_tokens, offsets = chat.plain_with_offsets(request.copy)
        asked.question_prefix = (
            _apart(encoded, context_tokens - len(copy_tokens)) if is_question_cached else None
        )
        asked.copy_tokens = copy_tokens
        asked.choices = tuple(_placed(choice, chat, offsets) for choice in request.choices)
    if asked.planned_tokens > context_tokens:
        more = (
            f", {request.max_tokens} of them for the answer" if isinstance(request, GenerateRequest) else ""
        )
        detail = f"{asked.planned_tokens} tokens{more} do not fit into {context_tokens}"
        return RequestError("too_long", detail)
    if isinstance(request, GenerateRequest) and request.output_format is not None:
        try:
            with meter.timing("compile"):
                asked.matcher = grammars.matcher(request.output_format.lark())
        except ValueError:  # its text may quote the note
            return RequestError("unparsable", "the grammar does not compile")
    return asked


def _apart(encoded: EncodedPrompt, room: int) -> QuestionPrefix:
    """Right behind the document where what follows it could not begin by `room` in a sequence."""
    tokens, head, position = encoded.question_tokens, encoded.head_tokens, encoded.question_position
    if position + len(tokens) - head > room:
        position = encoded.shared_tokens
    return QuestionPrefix(tuple(tokens), head, position)


def _placed(choice: Choice, chat: Chat, offsets: list[tuple[int, int]]) -> EncodedChoice:
    positions = tuple(token_positions(choice, offsets))
    return EncodedChoice(
        positions=positions,
        spans=tuple(offsets[position] for position in positions),
        columns=tuple(chat.plain(word)[0] for word in choice.words),
    )


def _normalised(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Log-softmax over the columns; shape [rows, words]."""
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    normalised: npt.NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalised
