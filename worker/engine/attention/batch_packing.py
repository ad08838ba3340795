"""Packs the chunks of a batch into one sequence and computes their layout, once a batch.

Chunks of many tokens attend one by one; chunks that decode, and short questions of continuations that
generate, attend together.
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
"""Chunks, with their slices of the packed tokens."""

MAX_DECODE_TOKENS = 8
"""Longest chunk of a continuation that decodes; such chunks attend together."""
_LONGEST_QUESTION = 128
"""Longest question of a continuation that generates for which attention together may be faster."""


def layout_of(
    chunks: Sequence[ScheduledChunk], shared_heads: int, device: torch.device, *, has_kernel: bool = False
) -> BatchLayout:
    """The layout of a batch; `chunks` are packed in their order.

    `shared_heads`: query heads that share a key head; `has_kernel`: `worker.engine.attention.decode_kernel`
    computes the chunks that decode.
    """
    placed: _Placed = []
    offset = 0
    for chunk in chunks:
        placed.append((chunk, slice(offset, offset + chunk.num_tokens)))
        offset += chunk.num_tokens
    decode, questions, others = _by_kind(placed)
    kernel_rows = [kernel_row(chunk, tokens.start) for chunk, tokens in decode] if has_kernel else []
    row_chunks = [] if kernel_rows else decode
    question_groups: list[_Placed] = []
    # Plain products attend under one mask; with fused kernels that has not been measured.
    if packed_attention.is_fused_faster(device):
        row_chunks = [*row_chunks, *questions]
    elif device.type == "cpu":
        question_groups = _groups_of_neighbours(questions)
    else:
        others = [*others, *questions]
    return BatchLayout(
        (
            *(_prefill_chunk(chunk, tokens, device) for chunk, tokens in others),
            *(_masked_chunk(group, shared_heads, device) for group in question_groups),
        ),
        _decode_rows(row_chunks, shared_heads, device) if row_chunks else None,
        _kv_write(placed, device),
        torch.tensor(kernel_rows, device=device) if kernel_rows else None,
    )


def kernel_row(chunk: ScheduledChunk, first: int) -> tuple[int, ...]:
    """The CHUNK_COLUMNS numbers of a chunk that decodes, whose packed tokens start at `first`."""
    assert isinstance(chunk.sequence, Continuation)
    start = chunk.prefix.cache_start
    stop = start + len(chunk.prefix.tokens)
    return first, chunk.num_tokens, start, stop, chunk.sequence.slot, chunk.start


def split_by_adapter(batch: ForwardBatch) -> tuple[list[ScheduledChunk], list[ScheduledChunk]]:
    """Chunks with the adapter and chunks without it, for two forward passes; each list has its prefixes
    first."""
    ordered = sorted(batch.chunks, key=lambda chunk: isinstance(chunk.sequence, Continuation))
    return [chunk for chunk in ordered if chunk.uses_adapter], [
        chunk for chunk in ordered if not chunk.uses_adapter
    ]


def is_decode_chunk(chunk: ScheduledChunk) -> bool:
    """True for a few tokens of a continuation that generates."""
    return (
        isinstance(chunk.sequence, Continuation)
        and chunk.sequence.is_generated
        and chunk.num_tokens <= MAX_DECODE_TOKENS
    )


def _by_kind(placed: _Placed) -> tuple[_Placed, _Placed, _Placed]:
    """Splits into chunks that decode, short questions of continuations that generate, and all others."""
    generated = [
        pair
        for pair in placed
        if isinstance(pair[0].sequence, Continuation) and pair[0].sequence.is_generated
    ]
    decode = [pair for pair in generated if is_decode_chunk(pair[0])]
    questions = [pair for pair in generated if not is_decode_chunk(pair[0]) and _is_short_question(pair[0])]
    together = {tokens.start for _, tokens in (*decode, *questions)}
    return decode, questions, [pair for pair in placed if pair[1].start not in together]


def _is_short_question(chunk: ScheduledChunk) -> bool:
    """True if all its keys are in this batch and none in its slot."""
    return chunk.start == 0 and chunk.num_tokens <= _LONGEST_QUESTION


def _groups_of_neighbours(placed: _Placed) -> list[_Placed]:
    """Groups of adjacent questions with the same prefix, of at most QUERY_BLOCK tokens."""
    groups: list[_Placed] = []
    for chunk, tokens in placed:
        last = groups[-1] if groups else []
        follows = bool(last) and last[-1][0].prefix is chunk.prefix and last[-1][1].stop == tokens.start
        if follows and tokens.stop - last[0][1].start <= QUERY_BLOCK:
            last.append((chunk, tokens))
        else:
            groups.append([(chunk, tokens)])
    return groups


def _masked_chunk(group: _Placed, shared_heads: int, device: torch.device) -> PrefillChunk:
    first, last = group[0][1].start, group[-1][1].stop
    owner = torch.tensor([number for number, (chunk, _) in enumerate(group) for _ in range(chunk.num_tokens)])
    position = torch.arange(last - first)
    hidden = (owner[:, None] != owner[None]) | (position[None] > position[:, None])
    mask = torch.zeros(hidden.shape, dtype=torch.bfloat16).masked_fill_(hidden, float("-inf"))
    segments = (_prefix_segment(group[0][0].prefix, device),)
    return PrefillChunk(
        slice(first, last), segments, False, mask=mask.repeat_interleave(shared_heads, 0).to(device)
    )


def _prefill_chunk(chunk: ScheduledChunk, tokens: slice, device: torch.device) -> PrefillChunk:
    if isinstance(chunk.sequence, Prefix):
        segment = PrefixSegment.of(
            chunk.sequence.cache_start, chunk.sequence.cache_start + chunk.stop, device
        )
        return PrefillChunk(tokens, (segment,), is_prefix=True)
    question = chunk.sequence.question_prefix
    head_tokens = 0 if question is None else question.head_tokens
    segments = [
        _prefix_segment(chunk.sequence.prefix, device, head_tokens),
        *([_prefix_segment(question, device)] if question else []),
    ]
    return PrefillChunk(tokens, tuple(segments), False, chunk.sequence.slot, chunk.start)


def _prefix_segment(prefix: Prefix, device: torch.device, head_tokens: int = 0) -> PrefixSegment:
    """The segment of the prefix without its first `head_tokens` tokens, which another segment holds."""
    return PrefixSegment.of(prefix.cache_start + head_tokens, prefix.cache_start + len(prefix.tokens), device)


def _kv_write(placed: _Placed, device: torch.device) -> KvWrite:
    prefix_runs: list[tuple[slice, int]] = []
    index: list[int] = []
    slots: list[int] = []
    slot_positions: list[int] = []
    for chunk, tokens in placed:
        if isinstance(chunk.sequence, Prefix):
            prefix_runs.append((tokens, chunk.sequence.cache_start + chunk.start))
        elif chunk.sequence.is_generated:
            index += range(tokens.start, tokens.stop)
            slots += [chunk.sequence.slot] * chunk.num_tokens
            slot_positions += range(chunk.start, chunk.stop)
    if not index:
        return KvWrite(tuple(prefix_runs), None, None, None)
    return KvWrite(
        tuple(prefix_runs),
        *(torch.tensor(values, device=device) for values in (index, slots, slot_positions)),
    )


def _by_prefix(placed: _Placed) -> dict[Prefix, _Placed]:
    groups: dict[Prefix, _Placed] = {}
    for chunk, tokens in placed:
        groups.setdefault(chunk.prefix, []).append((chunk, tokens))
    return groups


def _decode_rows(placed: _Placed, shared_heads: int, device: torch.device) -> DecodeRows:
    index: list[int] = []
    groups = []
    own = []
    for prefix, members in _by_prefix(placed).items():
        first = len(index)
        for chunk, tokens in members:
            start = len(index) * shared_heads
            index += range(tokens.start, tokens.stop)
            own.append(_own_segment(chunk, slice(start, len(index) * shared_heads), shared_heads, device))
        queries = slice(first * shared_heads, len(index) * shared_heads)
        groups.append((queries, _prefix_segment(prefix, device)))
    return DecodeRows(torch.tensor(index, device=device), tuple(groups), tuple(own))


def _own_segment(
    chunk: ScheduledChunk, queries: slice, shared_heads: int, device: torch.device
) -> OwnSegment:
    assert isinstance(chunk.sequence, Continuation)
    padded_stop = rounded_up(chunk.stop, KEY_BLOCK if device.type == "cpu" else 1)
    if padded_stop == chunk.start + 1:
        return OwnSegment(queries, chunk.sequence.slot, padded_stop, None)
    newest = torch.arange(chunk.start, chunk.stop)
    hidden = torch.arange(padded_stop)[None] > newest.repeat_interleave(shared_heads)[:, None]
    mask = torch.zeros(hidden.shape, dtype=torch.bfloat16).masked_fill_(hidden, float("-inf"))
    return OwnSegment(queries, chunk.sequence.slot, padded_stop, mask[None, None].to(device))


def output_indexes(chunks: Sequence[ScheduledChunk]) -> list[int]:
    """Indexes among the packed tokens of those whose logits are requested, in order."""
    indexes: list[int] = []
    offset = 0
    for chunk in chunks:
        indexes += [offset + position - chunk.start for position in _logit_indexes(chunk)]
        offset += chunk.num_tokens
    return indexes


def group_by_columns(
    chunks: Sequence[ScheduledChunk],
) -> dict[tuple[int, ...], list[tuple[Continuation, range]]]:
    """By requested columns: the continuations, each with its range of `output_indexes`."""
    groups: dict[tuple[int, ...], list[tuple[Continuation, range]]] = {}
    first = 0
    for chunk in chunks:
        if isinstance(chunk.sequence, Continuation):
            own = range(first, first + len(_logit_indexes(chunk)))
            groups.setdefault(chunk.sequence.columns, []).append((chunk.sequence, own))
            first = own.stop
    return groups


def _logit_indexes(chunk: ScheduledChunk) -> list[int]:
    if isinstance(chunk.sequence, Prefix):
        return []
    return [position for position in chunk.sequence.logit_indexes if chunk.start <= position < chunk.stop]
