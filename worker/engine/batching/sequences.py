"""Sequences of the network: prefixes, which are computed once, and the continuations that follow them.

A prefix is the document's part of a prompt. Every question on the document is a continuation, which attends
to the prefix's keys and values without a copy. A question may have a prefix of its own that does not attend
to the document and serves all documents (docs/decisions/cached-question-prefix.md). Does not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass

UNALLOCATED = -1
MAX_DRAFT_TOKENS = 6
"""Draft tokens that a continuation may have in one batch."""


@dataclass(slots=True, eq=False)
class Prefix:
    """Tokens that several continuations share."""

    tokens: tuple[int, ...]
    uses_adapter: bool = False
    """True if the adapter takes part; the same tokens with and without it are two prefixes."""
    head_tokens: int = 0
    """Question prefix: number of its first tokens that every document prefix starts with too."""
    start_position: int = 0
    """Position of the first token after the head; the head itself starts at position 0."""
    num_computed_tokens: int = 0
    """Tokens whose keys and values are in the cache."""
    cache_start: int = UNALLOCATED
    """Index of its first token in the shared cache."""
    num_continuations: int = 0
    """Continuations, waiting or running, that follow it."""

    @property
    def is_computed(self) -> bool:
        return self.num_computed_tokens == len(self.tokens)

    @property
    def end_position(self) -> int:
        """Position of the first token that follows it."""
        return self.start_position + len(self.tokens) - self.head_tokens

    def position_ids(self, start: int, stop: int) -> list[int]:
        """Positions of its tokens [start, stop)."""
        offset = self.start_position - self.head_tokens
        return [index if index < self.head_tokens else index + offset for index in range(start, stop)]


@dataclass(slots=True, eq=False)
class Continuation:
    """One question on a document: scored in one chunk and dropped, or kept in a slot while it generates."""

    prefix: Prefix
    """The document's prefix."""
    tokens: list[int]
    """The question unless it has a prefix, then the copy to score or the generated tokens."""
    logit_indexes: tuple[int, ...]
    """Indexes in `tokens` whose next-token logits are requested."""
    columns: tuple[int, ...] = ()
    """Token ids whose logits are requested; empty: the whole vocabulary."""
    question_prefix: Prefix | None = None
    """A cached question; the continuation attends to it, and to the document without the common head."""
    reserved_tokens: int = 0
    """Tokens reserved for its own keys and values, its maximum length; 0: scored in one chunk, not cached."""
    num_computed_tokens: int = 0
    slot: int = UNALLOCATED
    """Its row in the cache of continuations."""

    @property
    def is_generated(self) -> bool:
        return self.reserved_tokens > 0

    @property
    def prefixes(self) -> tuple[Prefix, ...]:
        """All prefixes that it follows, in the order in which they are computed."""
        return (self.prefix,) if self.question_prefix is None else (self.question_prefix, self.prefix)

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens of its prefixes, with the common head counted once."""
        return sum(len(prefix.tokens) - prefix.head_tokens for prefix in self.prefixes)

    def position_ids(self, start: int, stop: int) -> range:
        """Positions of its tokens [start, stop)."""
        first = (self.question_prefix or self.prefix).end_position
        return range(first + start, first + stop)


@dataclass(frozen=True, slots=True)
class ScheduledChunk:
    """Tokens [start, stop) of one sequence that a batch computes."""

    sequence: Prefix | Continuation
    start: int
    stop: int

    @property
    def num_tokens(self) -> int:
        return self.stop - self.start

    @property
    def prefix(self) -> Prefix:
        """The prefix itself, or the document's prefix of the continuation."""
        return self.sequence if isinstance(self.sequence, Prefix) else self.sequence.prefix

    @property
    def uses_adapter(self) -> bool:
        return self.prefix.uses_adapter


@dataclass(frozen=True, slots=True)
class CacheCopy:
    """Copies keys and values of `num_tokens` tokens within the shared cache."""

    source: int
    target: int
    num_tokens: int


@dataclass(frozen=True, slots=True)
class ForwardBatch:
    """One forward pass of the network."""

    chunks: tuple[ScheduledChunk, ...]
    """Prefixes stand before the continuations that follow them, which may be in the same batch."""
    shared_tokens: int = 0
    """Tokens that the shared cache of prefixes must hold."""
    num_slots: int = 0
    """Rows that the cache of continuations must have."""
    slot_tokens: int = 0
    """Tokens that each of these rows must hold."""
    copies: tuple[CacheCopy, ...] = ()
    """Copies to make, in this order, before the pass."""

    @property
    def continuations(self) -> list[Continuation]:
        """The continuations with a chunk in the batch."""
        return [chunk.sequence for chunk in self.chunks if isinstance(chunk.sequence, Continuation)]

    @property
    def starting(self) -> list[Continuation]:
        """The continuations whose first chunk is in the batch."""
        return [
            chunk.sequence
            for chunk in self.chunks
            if isinstance(chunk.sequence, Continuation) and chunk.start == 0
        ]

    @property
    def num_tokens(self) -> int:
        return sum(chunk.num_tokens for chunk in self.chunks)
