"""How the pieces of a step lie in one packed sequence and in the caches: geometry, made once a step.

Pieces of many tokens are attended one by one; those of branches that write, or are read for it, side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from worker import attention
from worker.footprint import ATTENDED_TOGETHER, KEYS_TOGETHER, rounded_up
from worker.sequences import NOWHERE, Beginning, Branch, Piece, Step

_Placed = list[tuple[Piece, slice]]
"""Pieces, and where each lies among the packed tokens."""

LONGEST_SHORT = 8
"""Tokens of a piece that writes, next to others."""
PIECE_COLUMNS = 6
"""Of a piece for worker.branch_kernel: its first packed token and how many it has; its beginning's start and
stop; its slot, and how many tokens of its own come before."""
_LONGEST_QUESTION = 128
"""Tokens of a piece that is read for writing, next to others where that is faster than one by one."""


@dataclass(frozen=True, slots=True)
class Past:
    """Where a beginning lies in the shared cache: [start, stop); what attends to it reaches further."""

    start: int
    stop: int
    reach: int
    """On a CPU a whole number of blocks of keys from the start, else `stop`."""
    mask: torch.Tensor | None
    """[1, 1, 1, reach - start], to be added: minus infinity from `stop` on; none where nothing is there."""

    @staticmethod
    def of(start: int, stop: int, device: torch.device) -> Past:
        together = KEYS_TOGETHER if device.type == "cpu" else 1
        reach = start + rounded_up(stop - start, together)
        if reach == stop:
            return Past(start, stop, reach, None)
        mask = torch.zeros((1, 1, 1, reach - start), dtype=torch.bfloat16)
        mask[..., stop - start :] = float("-inf")
        return Past(start, stop, reach, mask)


@dataclass(frozen=True, slots=True)
class Long:
    """One piece over its beginning's keys, its slot's first and its own."""

    here: slice
    """Its tokens among the packed ones."""
    past: Past
    """For a beginning this is up to and with its own tokens: it lies in the shared cache itself."""
    is_beginning: bool
    slot: int = NOWHERE
    slot_tokens: int = 0
    """Tokens of its own that are in its slot from earlier steps."""
    mask: torch.Tensor | None = None
    """[tokens x query heads that share a key head, tokens], where they are of several questions on one
    beginning: to be added, minus infinity where a token is another question's or comes later."""


@dataclass(frozen=True, slots=True)
class Store:
    """Where packed tokens' keys and values are kept: whole runs, and single tokens by index."""

    shared: tuple[tuple[slice, int], ...]
    """Tokens of beginnings, and the place in the shared cache where each run of them starts."""
    index: torch.Tensor | None
    """Packed tokens of branches that write, where they are not all; their slots and places in them."""
    slots: torch.Tensor | None
    places: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class Own:
    """A branch's own keys, and which of the short pieces' queries attend to them."""

    queries: slice
    """As by_key_head lays them out: each token's query heads that share a key head, one after another."""
    slot: int
    reach: int
    """As far as its newest token; on a CPU a whole number of blocks of keys."""
    mask: torch.Tensor | None
    """[1, 1, queries, reach], to be added: minus infinity where a key comes after its query."""


@dataclass(frozen=True, slots=True)
class Short:
    """The pieces that write: over their beginnings by group, over their own each by itself."""

    index: torch.Tensor
    """[tokens]: which packed tokens they are, those of one beginning after another."""
    groups: tuple[tuple[slice, Past], ...]
    """For each beginning its queries, as those of `own`."""
    own: tuple[Own, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A step's geometry."""

    long: tuple[Long, ...]
    short: Short | None
    """Those of a few tokens, and those of a question's."""
    store: Store
    listed: torch.Tensor | None = None
    """[pieces, PIECE_COLUMNS]: those of a few tokens, where one kernel attends to them all."""
    wanted: torch.Tensor | None = None
    """The packed tokens for which the last layer is computed to its end; none: all."""

    @staticmethod
    def of(
        pieces: Sequence[Piece], shared_heads: int, device: torch.device, *, has_kernel: bool = False
    ) -> Plan:
        """`pieces` in the order in which their tokens are packed; so many query heads share a key head.

        `has_kernel`: worker.branch_kernel attends those of a few tokens.
        """
        placed: _Placed = []
        offset = 0
        for piece in pieces:
            placed.append((piece, slice(offset, offset + piece.num_tokens)))
            offset += piece.num_tokens
        few, question, many = _by_width(placed)
        listed = [listed_piece(piece, here.start) for piece, here in few] if has_kernel else []
        short = [] if listed else few
        runs: list[_Placed] = []
        if attention.is_fused_faster(device):
            short = [*short, *question]
        elif device.type == "cpu":
            runs = _runs(question)
        else:
            many = [*many, *question]
        return Plan(
            (
                *(_long(piece, here, device) for piece, here in many),
                *(_run(run, shared_heads, device) for run in runs),
            ),
            _short(short, shared_heads, device) if short else None,
            _store(placed, device),
            torch.tensor(listed, device=device) if listed else None,
        )


def listed_piece(piece: Piece, first: int) -> tuple[int, ...]:
    """PIECE_COLUMNS numbers of a piece that writes, whose tokens are packed from `first` on."""
    assert isinstance(piece.of, Branch)
    start = piece.beginning.offset
    stop = start + len(piece.beginning.tokens)
    return first, piece.num_tokens, start, stop, piece.of.slot, piece.start


def in_order(step: Step) -> tuple[list[Piece], list[Piece]]:
    """The step's pieces with the adapter, and without it: two passes, each with its beginnings first."""
    ordered = sorted(step.pieces, key=lambda piece: isinstance(piece.of, Branch))
    return [one for one in ordered if one.is_adapted], [one for one in ordered if not one.is_adapted]


def is_few(piece: Piece) -> bool:
    """One that writes, of a few tokens."""
    return isinstance(piece.of, Branch) and piece.of.is_written and piece.num_tokens <= LONGEST_SHORT


def _by_width(placed: _Placed) -> tuple[_Placed, _Placed, _Placed]:
    """Pieces that write, those of questions for writing, and all others."""
    written = [one for one in placed if isinstance(one[0].of, Branch) and one[0].of.is_written]
    few = [one for one in written if is_few(one[0])]
    question = [one for one in written if not is_few(one[0]) and _is_question(one[0])]
    side_by_side = {here.start for _, here in (*few, *question)}
    return few, question, [one for one in placed if one[1].start not in side_by_side]


def _is_question(piece: Piece) -> bool:
    return piece.start == 0 and piece.num_tokens <= _LONGEST_QUESTION


def _runs(placed: _Placed) -> list[_Placed]:
    """Questions that are packed next to each other and on one beginning, as many as are attended together."""
    runs: list[_Placed] = []
    for piece, here in placed:
        last = runs[-1] if runs else []
        follows = bool(last) and last[-1][0].beginning is piece.beginning and last[-1][1].stop == here.start
        if follows and here.stop - last[0][1].start <= ATTENDED_TOGETHER:
            last.append((piece, here))
        else:
            runs.append([(piece, here)])
    return runs


def _run(run: _Placed, shared_heads: int, device: torch.device) -> Long:
    first, last = run[0][1].start, run[-1][1].stop
    of = torch.tensor([number for number, (piece, _) in enumerate(run) for _ in range(piece.num_tokens)])
    place = torch.arange(last - first)
    hidden = (of[:, None] != of[None]) | (place[None] > place[:, None])
    mask = torch.zeros(hidden.shape, dtype=torch.bfloat16).masked_fill_(hidden, float("-inf"))
    past = _past(run[0][0].beginning, device)
    return Long(slice(first, last), past, False, mask=mask.repeat_interleave(shared_heads, 0).to(device))


def _long(piece: Piece, here: slice, device: torch.device) -> Long:
    if isinstance(piece.of, Beginning):
        past = Past.of(piece.of.offset, piece.of.offset + piece.stop, device)
        return Long(here, past, is_beginning=True)
    return Long(here, _past(piece.of.beginning, device), False, piece.of.slot, piece.start)


def _past(beginning: Beginning, device: torch.device) -> Past:
    return Past.of(beginning.offset, beginning.offset + len(beginning.tokens), device)


def _store(placed: _Placed, device: torch.device) -> Store:
    shared: list[tuple[slice, int]] = []
    index: list[int] = []
    slots: list[int] = []
    places: list[int] = []
    for piece, here in placed:
        if isinstance(piece.of, Beginning):
            shared.append((here, piece.of.offset + piece.start))
        elif piece.of.is_written:
            index += range(here.start, here.stop)
            slots += [piece.of.slot] * piece.num_tokens
            places += range(piece.start, piece.stop)
    if not index:
        return Store(tuple(shared), None, None, None)
    return Store(tuple(shared), *(torch.tensor(some, device=device) for some in (index, slots, places)))


def _by_beginning(placed: _Placed) -> dict[Beginning, _Placed]:
    found: dict[Beginning, _Placed] = {}
    for piece, here in placed:
        found.setdefault(piece.beginning, []).append((piece, here))
    return found


def _short(placed: _Placed, shared_heads: int, device: torch.device) -> Short:
    index: list[int] = []
    groups = []
    own = []
    for beginning, members in _by_beginning(placed).items():
        first = len(index)
        for piece, here in members:
            start = len(index) * shared_heads
            index += range(here.start, here.stop)
            own.append(_own(piece, slice(start, len(index) * shared_heads), shared_heads, device))
        queries = slice(first * shared_heads, len(index) * shared_heads)
        groups.append((queries, _past(beginning, device)))
    return Short(torch.tensor(index, device=device), tuple(groups), tuple(own))


def _own(piece: Piece, queries: slice, shared_heads: int, device: torch.device) -> Own:
    assert isinstance(piece.of, Branch)
    reach = rounded_up(piece.stop, KEYS_TOGETHER if device.type == "cpu" else 1)
    if reach == piece.start + 1:
        return Own(queries, piece.of.slot, reach, None)
    newest = torch.arange(piece.start, piece.stop)
    hidden = torch.arange(reach)[None] > newest.repeat_interleave(shared_heads)[:, None]
    mask = torch.zeros(hidden.shape, dtype=torch.bfloat16).masked_fill_(hidden, float("-inf"))
    return Own(queries, piece.of.slot, reach, mask[None, None].to(device))


def wanted_places(pieces: Sequence[Piece]) -> list[int]:
    """The places in the packed tokens of what their branches want, in order."""
    found: list[int] = []
    offset = 0
    for piece in pieces:
        found += [offset + place - piece.start for place in _wanted(piece)]
        offset += piece.num_tokens
    return found


def by_columns(pieces: Sequence[Piece]) -> dict[tuple[int, ...], list[tuple[Branch, range]]]:
    """By asked columns: the branches, and which of the wanted places are its own."""
    groups: dict[tuple[int, ...], list[tuple[Branch, range]]] = {}
    first = 0
    for piece in pieces:
        if isinstance(piece.of, Branch):
            own = range(first, first + len(_wanted(piece)))
            groups.setdefault(piece.of.columns, []).append((piece.of, own))
            first = own.stop
    return groups


def _wanted(piece: Piece) -> list[int]:
    if isinstance(piece.of, Beginning):
        return []
    return [place for place in piece.of.wanted if piece.start <= place < piece.stop]
