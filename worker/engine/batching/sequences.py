"""What goes through the network: beginnings, which are read once, and the branches that follow them.

A beginning is the document's tokens; every question on it is a branch that sees the beginning's keys
and values and never copies them. A question may have a beginning of its own, which sees nothing of the
document and so is read once for all of them (docs/decisions/cached-question-prefix.md). Knows no torch and no
text.
"""

from __future__ import annotations

from dataclasses import dataclass

UNALLOCATED = -1
MAX_DRAFT_TOKENS = 6
"""Tokens of a branch in one step that are yet to be verified."""


@dataclass(slots=True, eq=False)
class Prefix:
    """The tokens that several branches share."""

    tokens: tuple[int, ...]
    uses_adapter: bool = False
    """Whether the adapter takes part; with and without it are two beginnings."""
    head_tokens: int = 0
    """A question's: so many of its first are those that every document begins with."""
    start_position: int = 0
    """Where in a sequence the tokens after the head stand; the head stands at its beginning."""
    num_computed_tokens: int = 0
    """Tokens whose keys and values are in the cache."""
    cache_start: int = UNALLOCATED
    """Where in the shared cache it lies."""
    num_continuations: int = 0
    """How many that wait or run follow it."""

    @property
    def is_computed(self) -> bool:
        return self.num_computed_tokens == len(self.tokens)

    @property
    def end_position(self) -> int:
        """Where in a sequence what follows it stands."""
        return self.start_position + len(self.tokens) - self.head_tokens

    def position_ids(self, start: int, stop: int) -> list[int]:
        """Where in a sequence its tokens [start, stop) stand."""
        beyond = self.start_position - self.head_tokens
        return [one if one < self.head_tokens else one + beyond for one in range(start, stop)]


@dataclass(slots=True, eq=False)
class Continuation:
    """One question on a beginning: decided in one piece and then forgotten, or kept while it writes."""

    prefix: Prefix
    """The document's."""
    tokens: list[int]
    """The question where it is not read apart, then the text to decide on, or what has been written."""
    logit_indexes: tuple[int, ...]
    """Indexes in `tokens` whose next-token distribution is asked for."""
    columns: tuple[int, ...] = ()
    """Token ids whose logits are asked for; none: those of the whole vocabulary."""
    question_prefix: Prefix | None = None
    """One that is read apart: the branch sees it and, without the head that both begin with, the document."""
    reserved_tokens: int = 0
    """Room for its own keys and values, the most it can become; 0: decided in one piece, nothing is kept."""
    num_computed_tokens: int = 0
    slot: int = UNALLOCATED
    """Its row in the cache of branches."""

    @property
    def is_generated(self) -> bool:
        return self.reserved_tokens > 0

    @property
    def prefixes(self) -> tuple[Prefix, ...]:
        """All that it follows, in the order in which they are read."""
        return (self.prefix,) if self.question_prefix is None else (self.question_prefix, self.prefix)

    @property
    def num_prefix_tokens(self) -> int:
        """Of its beginnings, the head counted once."""
        return sum(len(one.tokens) - one.head_tokens for one in self.prefixes)

    def position_ids(self, start: int, stop: int) -> range:
        """Where in a sequence its tokens [start, stop) stand."""
        before = (self.question_prefix or self.prefix).end_position
        return range(before + start, before + stop)


@dataclass(frozen=True, slots=True)
class ScheduledChunk:
    """Tokens [start, stop) of one beginning or branch, to be computed in this step."""

    sequence: Prefix | Continuation
    start: int
    stop: int

    @property
    def num_tokens(self) -> int:
        return self.stop - self.start

    @property
    def prefix(self) -> Prefix:
        """That it is of, or follows."""
        return self.sequence if isinstance(self.sequence, Prefix) else self.sequence.prefix

    @property
    def uses_adapter(self) -> bool:
        return self.prefix.uses_adapter


@dataclass(frozen=True, slots=True)
class CacheCopy:
    """Keys and values of so many tokens of the shared cache, taken over to another place in it."""

    source: int
    target: int
    num_tokens: int


@dataclass(frozen=True, slots=True)
class ForwardBatch:
    """One pass of the network."""

    chunks: tuple[ScheduledChunk, ...]
    """Beginnings before the branches that follow them, which may be in the same step."""
    shared_tokens: int = 0
    """How long the cache of beginnings has to be."""
    num_slots: int = 0
    """How many rows the cache of branches needs."""
    slot_tokens: int = 0
    """How many tokens each of its rows holds."""
    copies: tuple[CacheCopy, ...] = ()
    """To be made in this order before anything is computed."""

    @property
    def continuations(self) -> list[Continuation]:
        """Those that have a piece in it."""
        return [chunk.sequence for chunk in self.chunks if isinstance(chunk.sequence, Continuation)]

    @property
    def started(self) -> list[Continuation]:
        """Those whose first piece is in it."""
        return [
            chunk.sequence
            for chunk in self.chunks
            if isinstance(chunk.sequence, Continuation) and chunk.start == 0
        ]

    @property
    def num_tokens(self) -> int:
        return sum(chunk.num_tokens for chunk in self.chunks)
