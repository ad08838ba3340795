"""Which tokens of which sequences go through the network next. Knows no torch and no text.

Iteration-level scheduling: sequences join and leave between steps, each step carries one token
of every sequence that decodes and fills up with prompt tokens of those that begin. Sequences
with the same beginning (the document) wait for the first of them to be read and copy its row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

STEP_TOKENS = 2_048
"""Prompt tokens in one step: enough to keep matrix products busy, few enough that decoding goes on."""


@dataclass(slots=True, eq=False)
class Row:
    """One sequence on its way through the network."""

    tokens: list[int]
    """The prompt, then what was written."""
    shared_tokens: int
    """How many tokens at the beginning are the document's."""
    wanted: tuple[int, ...]
    """Indexes in the prompt whose next-token distribution is asked for."""
    planned_tokens: int
    """The most it can become, written tokens included."""
    columns: tuple[int, ...] = ()
    """Token ids whose logits are asked for; none: those of the whole vocabulary."""
    is_adapted: bool = False
    """Whether the adapter takes part; rows with and without it share no beginning."""
    shared_key: int = 0
    """Equal for rows with the same shared beginning."""
    computed_tokens: int = 0
    """Tokens whose keys and values are in the cache."""
    slot: int = -1
    """Its row in the cache; -1 while it waits."""

    def __post_init__(self) -> None:
        self.shared_key = hash((self.is_adapted, *self.tokens[: self.shared_tokens]))


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens [start, stop) of one row, to be computed in this step."""

    row: Row
    start: int
    stop: int

    @property
    def num_tokens(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class CopiedBeginning:
    """Keys and values of the first `num_tokens` are copied between cache rows before the step."""

    from_slot: int
    to_slot: int
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Step:
    """One pass of the network."""

    segments: tuple[Segment, ...]
    copies: tuple[CopiedBeginning, ...]
    num_slots: int
    """Cache rows needed, idle ones between used ones included."""
    slot_tokens: int
    """Tokens that each cache row must hold."""


@dataclass(slots=True)
class Scheduler:
    """Admits rows under a budget of rows and cached tokens, first come first served."""

    max_rows: int
    max_tokens: int
    """Cache rows times tokens a row, at most."""
    waiting: deque[Row] = field(default_factory=deque)
    running: list[Row] = field(default_factory=list)
    lingering: list[Row] = field(default_factory=list)
    """Finished rows whose beginning a waiting row will copy: a decision ends in the step that reads it."""

    def add(self, rows: Sequence[Row]) -> None:
        self.waiting.extend(rows)

    @property
    def is_idle(self) -> bool:
        return not self.waiting and not self.running

    def schedule(self) -> Step:
        """The next step; empty only when nothing waits or runs."""
        segments = [_next_segment(row, STEP_TOKENS) for row in self.running]
        left = STEP_TOKENS - sum(segment.num_tokens for segment in segments)
        copies: list[CopiedBeginning] = []
        passed_over: list[Row] = []
        while self.waiting and left > 0 and self._has_room_for(self.waiting[0]):
            row = self.waiting.popleft()
            reader = self._reader_of(row)
            if reader is not None and reader.computed_tokens < row.shared_tokens:
                passed_over.append(row)
                continue
            row.slot = self._free_slot()
            if reader is not None:
                copies.append(CopiedBeginning(reader.slot, row.slot, row.shared_tokens))
                row.computed_tokens = row.shared_tokens
            self.running.append(row)
            segment = _next_segment(row, left)
            segments.append(segment)
            left -= segment.num_tokens
        self.waiting.extendleft(reversed(passed_over))
        return Step(
            segments=tuple(segments),
            copies=tuple(copies),
            num_slots=max((row.slot + 1 for row in self._in_cache), default=0),
            slot_tokens=max((row.planned_tokens for row in self._in_cache), default=0),
        )

    def leave(self, is_finished: Callable[[Row], bool]) -> None:
        """Frees the cache rows of those that are finished, once nothing that waits begins like them."""
        wanted = {row.shared_key for row in self.waiting if row.shared_tokens}
        staying = [row for row in self.running if not is_finished(row)]
        wanted -= {row.shared_key for row in staying}
        gone = {row.shared_key: row for row in self._in_cache if is_finished(row) or row in self.lingering}
        self.lingering = [row for key, row in gone.items() if key in wanted and row.shared_tokens]
        self.running = staying

    def drop_all(self) -> list[Row]:
        """Forgets everything, after a step that failed; returns what was dropped."""
        dropped = [*self.running, *self.waiting]
        self.running, self.lingering, self.waiting = [], [], deque()
        return dropped

    @property
    def _in_cache(self) -> list[Row]:
        return [*self.running, *self.lingering]

    def _has_room_for(self, row: Row) -> bool:
        if not self.running:
            return True
        rows = len(self._in_cache) + 1
        longest = max(row.planned_tokens, *(other.planned_tokens for other in self._in_cache))
        return rows <= self.max_rows and rows * longest <= self.max_tokens

    def _reader_of(self, row: Row) -> Row | None:
        if not row.shared_tokens:
            return None
        same = [other for other in self._in_cache if other.shared_key == row.shared_key]
        return max(same, key=lambda other: other.computed_tokens, default=None)

    def _free_slot(self) -> int:
        taken = {row.slot for row in self._in_cache}
        return next(slot for slot in range(len(taken) + 1) if slot not in taken)


def _next_segment(row: Row, most: int) -> Segment:
    return Segment(row, row.computed_tokens, min(len(row.tokens), row.computed_tokens + most))
