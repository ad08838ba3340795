"""State of a request: encodes it as a continuation, and turns the finished continuation into a reply.

Does not import torch or the scheduler.
"""

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
    """A choice, encoded as tokens."""

    positions: tuple[int, ...]
    """Indexes of the copy's tokens after which it is made."""
    spans: tuple[tuple[int, int], ...]
    """Characters [start, end) of these tokens in the copy."""
    columns: tuple[int, ...]
    """Id of the first token of each label word."""


class QuestionPrefix(NamedTuple):
    """A cached question, which does not attend to the document."""

    tokens: tuple[int, ...]
    head_tokens: int
    """Number of its first tokens that stand before every document too."""
    start_position: int
    """Position of the first token after the head."""


@dataclass(slots=True, eq=False)
class RequestState:
    """A request in progress."""

    request: PromptRequest
    prefix_tokens: tuple[int, ...]
    question_tokens: list[int]
    """Tokens between the prefix and the copy or the generated text; empty if the question is cached."""
    question_prefix: QuestionPrefix | None = None
    """The cached question, if any."""
    copy_tokens: list[int] = field(default_factory=list)
    """Scoring: tokens of the second copy of the text."""
    choices: tuple[EncodedChoice, ...] = ()
    end_token: int = -1
    matcher: Any = None
    """Generation: the matcher that holds the state of the grammar, if any."""
    is_urgent: bool = False
    continuation: Continuation | None = None
    """Set by `start`."""
    num_draft_tokens: int = 0
    """Draft tokens at the end of the continuation, not yet verified."""
    num_forced_tokens: int = 0
    """Number of draft tokens that the grammar forces; they come before those that were looked up."""
    is_complete: bool = False
    error: RequestError | None = None
    """The reply of a request that fails."""
    reply: Future[Reply] = field(default_factory=Future)

    @property
    def planned_tokens(self) -> int:
        """Maximum length of the whole sequence."""
        num_question = (
            len(self.question_prefix.tokens) - self.question_prefix.head_tokens if self.question_prefix else 0
        )
        num_answer = (
            self.request.max_tokens if isinstance(self.request, GenerateRequest) else len(self.copy_tokens)
        )
        return len(self.prefix_tokens) + num_question + len(self.question_tokens) + num_answer

    @property
    def positions(self) -> list[int]:
        """Indexes of the copy's tokens after which any choice is made, ascending, each once."""
        return sorted({position for choice in self.choices for position in choice.positions})

    @property
    def num_generated_tokens(self) -> int:
        assert self.continuation is not None
        return len(self.continuation.tokens) - self.num_draft_tokens - len(self.question_tokens)

    @property
    def is_finished(self) -> bool:
        """True once the grammar, the end token or the token limit has ended the generation."""
        assert isinstance(self.request, GenerateRequest)
        return self.is_complete or self.num_generated_tokens >= self.request.max_tokens

    def start(self, prefix_cache: PrefixCache) -> Continuation:
        """The continuation to schedule; after a failed batch it holds the tokens generated before."""
        generated: list[int] = []
        if isinstance(self.request, GenerateRequest) and self.continuation is not None:
            generated = self.continuation.tokens[
                len(self.question_tokens) : len(self.continuation.tokens) - self.num_draft_tokens
            ]
        self.num_draft_tokens = 0
        reserved = (
            len(self.question_tokens) + self.request.max_tokens
            if isinstance(self.request, GenerateRequest)
            else 0
        )
        tokens = [*self.question_tokens, *self.copy_tokens, *generated]
        uses_adapter, question = self.request.prompt.uses_adapter, None
        if self.question_prefix is not None:
            question = prefix_cache.find(**self.question_prefix._asdict(), uses_adapter=uses_adapter)
        self.continuation = Continuation(
            prefix=prefix_cache.find(self.prefix_tokens, uses_adapter=uses_adapter),
            tokens=tokens,
            logit_indexes=(len(tokens) - 1,)
            if reserved
            else tuple(len(self.question_tokens) + position for position in self.positions),
            columns=tuple(column for choice in self.choices for column in choice.columns),
            question_prefix=question,
            reserved_tokens=reserved,
        )
        return self.continuation

    def resolve(self, logits: npt.NDArray[np.float32], chat: Chat) -> None:
        """Sets the reply. `logits`: [logit indexes, columns] of a scoring request; not used otherwise."""
        assert self.continuation is not None
        if self.error is not None:
            self.reply.set_result(self.error)
            return
        if isinstance(self.request, ScoreRequest):
            self.reply.set_result(ScoreResult(self._scores(logits), self.planned_tokens))
            return
        generated = self.continuation.tokens[len(self.question_tokens) :]
        prompt_tokens = len(self.prefix_tokens) + len(self.question_tokens)
        text = chat.decode(generated)
        self.reply.set_result(GenerateResult(text, self.is_complete, prompt_tokens, len(generated)))

    def _scores(self, logits: npt.NDArray[np.float32]) -> tuple[Scores, ...]:
        """Splits the logits by choice: the rows of its positions, the columns of its words."""
        row_of = {position: row for row, position in enumerate(self.positions)}
        scores, first_column = [], 0
        for choice in self.choices:
            rows = [row_of[position] for position in choice.positions]
            own_logits = logits[rows, first_column : first_column + len(choice.columns)]
            scores.append(Scores(choice.spans, _log_softmax(own_logits)))
            first_column += len(choice.columns)
        return tuple(scores)


def encode_request(
    request: PromptRequest, chat: Chat, grammars: GrammarCompiler, *, context_tokens: int, meter: UsageMeter
) -> RequestState | RequestError:
    """Encodes the request; a RequestError if it does not fit into `context_tokens` or its grammar is
    invalid."""
    encoded = chat.encode(request.prompt)
    prefix_tokens = tuple(encoded.tokens[: encoded.shared_tokens])
    is_question_cached = isinstance(request, ScoreRequest) and request.is_question_cached
    question_tokens = [] if is_question_cached else encoded.tokens[encoded.shared_tokens :]
    state = RequestState(request, prefix_tokens, question_tokens, end_token=chat.tokenizer.eos_token_id)
    if isinstance(request, ScoreRequest):
        copy_tokens, offsets = chat.plain_with_offsets(request.copy)
        state.question_prefix = (
            _question_prefix(encoded, context_tokens - len(copy_tokens)) if is_question_cached else None
        )
        state.copy_tokens = copy_tokens
        state.choices = tuple(_encoded_choice(choice, chat, offsets) for choice in request.choices)
    if state.planned_tokens > context_tokens:
        more = (
            f", {request.max_tokens} of them for the answer" if isinstance(request, GenerateRequest) else ""
        )
        detail = f"{state.planned_tokens} tokens{more} do not fit into {context_tokens}"
        return RequestError("too_long", detail)
    if isinstance(request, GenerateRequest) and request.output_format is not None:
        try:
            with meter.timing("compile"):
                state.matcher = grammars.matcher(request.output_format.lark())
        except ValueError:  # the message may quote the note
            return RequestError("unparsable", "the grammar does not compile")
    return state


def _question_prefix(encoded: EncodedPrompt, room: int) -> QuestionPrefix:
    """The cached question at its usual position, or right behind the document if what follows would then
    start after position `room`."""
    tokens, head, position = encoded.question_tokens, encoded.head_tokens, encoded.question_position
    if position + len(tokens) - head > room:
        position = encoded.shared_tokens
    return QuestionPrefix(tuple(tokens), head, position)


def _encoded_choice(choice: Choice, chat: Chat, offsets: list[tuple[int, int]]) -> EncodedChoice:
    positions = tuple(token_positions(choice, offsets))
    return EncodedChoice(
        positions=positions,
        spans=tuple(offsets[position] for position in positions),
        columns=tuple(chat.plain(word)[0] for word in choice.words),
    )


def _log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Log-softmax over the columns; shape [rows, words]."""
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    log_probabilities: npt.NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_probabilities
