"""How the pieces of a step are packed: its geometry, made once a step.

Pieces of many tokens are attended one by one; those of branches that write, or are read for it, side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from worker.engine.attention import packed_attention
from worker.engine.attention.batch_layout import (
    BatchLayout,
    DecodeRows,
    KvWrite,
    OwnSegment,
    PrefillChunk,
    PrefixSegment,
)
from worker.engine.batching.sequences import Continuation, ForwardBatch, Prefix, ScheduledChunk
from worker.engine.memory.footprint import KEY_BLOCK, QUERY_BLOCK, rounded_up

_Placed = list[tuple[ScheduledChunk, slice]]
"""Pieces, and where each lies among the packed tokens."""

MAX_DECODE_TOKENS = 8
"""Tokens of a piece that writes, next to others."""
_LONGEST_QUESTION = 128
"""Tokens of a piece that is read for writing, next to others where that is faster than one by one."""


def layout_of(
    chunks: Sequence[ScheduledChunk], shared_heads: int, device: torch.device, *, has_kernel: bool = False
) -> BatchLayout:
    """`pieces` in the order in which their tokens are packed; so many query heads share a key head.

    `has_kernel`: worker.engine.attention.decode_kernel attends those of a few tokens.
    """
    placed: _Placed = []
    offset = 0
    for chunk in chunks:
        placed.append((chunk, slice(offset, offset + chunk.num_tokens)))
        offset += chunk.num_tokens
    few, question, many = _by_width(placed)
    listed = [kernel_row(chunk, here.start) for chunk, here in few] if has_kernel else []
    short = [] if listed else few
    neighbours: list[_Placed] = []
    # Under one mask where plain products attend; where fused kernels do it has not been measured.
    if packed_attention.is_fused_faster(device):
        short = [*short, *question]
    elif device.type == "cpu":
        neighbours = _neighbours(question)
    else:
        many = [*many, *question]
    return BatchLayout(
        (
            *(_long(chunk, here, device) for chunk, here in many),
            *(_side_by_side(some, shared_heads, device) for some in neighbours),
        ),
        _short(short, shared_heads, device) if short else None,
        _store(placed, device),
        torch.tensor(listed, device=device) if listed else None,
    )


def kernel_row(chunk: ScheduledChunk, first: int) -> tuple[int, ...]:
    """PIECE_COLUMNS numbers of a piece that writes, whose tokens are packed from `first` on."""
    assert isinstance(chunk.sequence, Continuation)
    start = chunk.prefix.cache_start
    stop = start + len(chunk.prefix.tokens)
    return first, chunk.num_tokens, start, stop, chunk.sequence.slot, chunk.start


def split_by_adapter(batch: ForwardBatch) -> tuple[list[ScheduledChunk], list[ScheduledChunk]]:
    """The step's pieces with the adapter, and without it: two passes, each with its beginnings first."""
    ordered = sorted(batch.chunks, key=lambda chunk: isinstance(chunk.sequence, Continuation))
    return [one for one in ordered if one.uses_adapter], [one for one in ordered if not one.uses_adapter]


def is_decode_chunk(chunk: ScheduledChunk) -> bool:
    """One that writes, of a few tokens."""
    return (
        isinstance(chunk.sequence, Continuation)
        and chunk.sequence.is_generated
        and chunk.num_tokens <= MAX_DECODE_TOKENS
    )


def _by_width(placed: _Placed) -> tuple[_Placed, _Placed, _Placed]:
    """Pieces that write, those of questions for writing, and all others."""
    written = [
        one for one in placed if isinstance(one[0].sequence, Continuation) and one[0].sequence.is_generated
    ]
    few = [one for one in written if is_decode_chunk(one[0])]
    question = [one for one in written if not is_decode_chunk(one[0]) and _is_question(one[0])]
    side_by_side = {here.start for _, here in (*few, *question)}
    return few, question, [one for one in placed if one[1].start not in side_by_side]


def _is_question(chunk: ScheduledChunk) -> bool:
    """One whose keys are all in this step, none in its slot."""
    return chunk.start == 0 and chunk.num_tokens <= _LONGEST_QUESTION


def _neighbours(placed: _Placed) -> list[_Placed]:
    """Questions that are packed next to each other and on one beginning, as many as are attended together."""
    found: list[_Placed] = []
    for chunk, here in placed:
        last = found[-1] if found else []
        follows = bool(last) and last[-1][0].prefix is chunk.prefix and last[-1][1].stop == here.start
        if follows and here.stop - last[0][1].start <= QUERY_BLOCK:
            last.append((chunk, here))
        else:
            found.append([(chunk, here)])
    return found


def _side_by_side(some: _Placed, shared_heads: int, device: torch.device) -> PrefillChunk:
    first, last = some[0][1].start, some[-1][1].stop
    of = torch.tensor([number for number, (chunk, _) in enumerate(some) for _ in range(chunk.num_tokens)])
    place = torch.arange(last - first)
    hidden = (of[:, None] != of[None]) | (place[None] > place[:, None])
    mask = torch.zeros(hidden.shape, dtype=torch.bfloat16).masked_fill_(hidden, float("-inf"))
    pasts = (_past(some[0][0].prefix, device),)
    return PrefillChunk(
        slice(first, last), pasts, False, mask=mask.repeat_interleave(shared_heads, 0).to(device)
    )


def _long(chunk: ScheduledChunk, here: slice, device: torch.device) -> PrefillChunk:
    if isinstance(chunk.sequence, Prefix):
        past = PrefixSegment.of(chunk.sequence.cache_start, chunk.sequence.cache_start + chunk.stop, device)
        return PrefillChunk(here, (past,), is_beginning=True)
    question, head = (
        chunk.sequence.question_prefix,
        0 if chunk.sequence.question_prefix is None else chunk.sequence.question_prefix.head_tokens,
    )
    pasts = [_past(chunk.sequence.prefix, device, head), *([_past(question, device)] if question else [])]
    return PrefillChunk(here, tuple(pasts), False, chunk.sequence.slot, chunk.start)


def _past(prefix: Prefix, device: torch.device, head_tokens: int = 0) -> PrefixSegment:
    """Without so many of its first tokens, which are another's as well."""
    return PrefixSegment.of(prefix.cache_start + head_tokens, prefix.cache_start + len(prefix.tokens), device)


def _store(placed: _Placed, device: torch.device) -> KvWrite:
    shared: list[tuple[slice, int]] = []
    index: list[int] = []
    slots: list[int] = []
    places: list[int] = []
    for chunk, here in placed:
        if isinstance(chunk.sequence, Prefix):
            shared.append((here, chunk.sequence.cache_start + chunk.start))
        elif chunk.sequence.is_generated:
            index += range(here.start, here.stop)
            slots += [chunk.sequence.slot] * chunk.num_tokens
            places += range(chunk.start, chunk.stop)
    if not index:
        return KvWrite(tuple(shared), None, None, None)
    return KvWrite(tuple(shared), *(torch.tensor(some, device=device) for some in (index, slots, places)))


def _by_beginning(placed: _Placed) -> dict[Prefix, _Placed]:
    found: dict[Prefix, _Placed] = {}
    for chunk, here in placed:
        found.setdefault(chunk.prefix, []).append((chunk, here))
    return found


def _short(placed: _Placed, shared_heads: int, device: torch.device) -> DecodeRows:
    index: list[int] = []
    groups = []
    own = []
    for prefix, members in _by_beginning(placed).items():
        first = len(index)
        for chunk, here in members:
            start = len(index) * shared_heads
            index += range(here.start, here.stop)
            own.append(_own(chunk, slice(start, len(index) * shared_heads), shared_heads, device))
        queries = slice(first * shared_heads, len(index) * shared_heads)
        groups.append((queries, _past(prefix, device)))
    return DecodeRows(torch.tensor(index, device=device), tuple(groups), tuple(own))


def _own(chunk: ScheduledChunk, queries: slice, shared_heads: int, device: torch.device) -> OwnSegment:
    assert isinstance(chunk.sequence, Continuation)
    reach = rounded_up(chunk.stop, KEY_BLOCK if device.type == "cpu" else 1)
    if reach == chunk.start + 1:
        return OwnSegment(queries, chunk.sequence.slot, reach, None)
    newest = torch.arange(chunk.start, chunk.stop)
    hidden = torch.arange(reach)[None] > newest.repeat_interleave(shared_heads)[:, None]
    mask = torch.zeros(hidden.shape, dtype=torch.bfloat16).masked_fill_(hidden, float("-inf"))
    return OwnSegment(queries, chunk.sequence.slot, reach, mask[None, None].to(device))


def output_indexes(chunks: Sequence[ScheduledChunk]) -> list[int]:
    """The places in the packed tokens of what their branches want, in order."""
    found: list[int] = []
    offset = 0
    for chunk in chunks:
        found += [offset + place - chunk.start for place in _wanted(chunk)]
        offset += chunk.num_tokens
    return found


def group_by_columns(
    chunks: Sequence[ScheduledChunk],
) -> dict[tuple[int, ...], list[tuple[Continuation, range]]]:
    """By asked columns: the branches, and which of the wanted places are its own."""
    groups: dict[tuple[int, ...], list[tuple[Continuation, range]]] = {}
    first = 0
    for chunk in chunks:
        if isinstance(chunk.sequence, Continuation):
            own = range(first, first + len(_wanted(chunk)))
            groups.setdefault(chunk.sequence.columns, []).append((chunk.sequence, own))
            first = own.stop
    return groups


def _wanted(chunk: ScheduledChunk) -> list[int]:
    if isinstance(chunk.sequence, Prefix):
        return []
    return [place for place in chunk.sequence.logit_indexes if chunk.start <= place < chunk.stop]
