"""Forward batches that the scheduler does not make at once: full ones, and those at the cache's limit."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.machine.engine_steps import BenchmarkModel
from benchmarks.machine.token_counts import note_of_length
from worker.engine.batching.sequences import Continuation, ForwardBatch, Prefix, ScheduledChunk

CACHE_BLOCK_TOKENS = 2_048
"""Tokens by which the shared cache grows (worker.engine.attention.kv_cache)."""
_WINDOW_TOKENS = 500
_ANY_TOKEN = 100


def prefill_batch(network: BenchmarkModel, num_tokens: int) -> ForwardBatch:
    """Prefill of `num_tokens` tokens in windows of about 500; the last window is cut."""
    chunks: list[ScheduledChunk] = []
    offset = 0
    while offset < num_tokens:
        number = len(chunks)
        text = note_of_length(network.chat, _WINDOW_TOKENS + number, number=number)
        tokens = tuple(network.chat.plain(text)[: num_tokens - offset])
        chunks.append(ScheduledChunk(Prefix(tokens, cache_start=offset), 0, len(tokens)))
        offset += len(tokens)
    return ForwardBatch(tuple(chunks), shared_tokens=offset)


def long_prefix_batch(row_tokens: int, step_tokens: int) -> ForwardBatch:
    """The last tokens of a prefix that fills the cache: the longest attention span."""
    prefix = Prefix((_ANY_TOKEN,) * row_tokens, cache_start=0)
    return ForwardBatch(
        (ScheduledChunk(prefix, row_tokens - step_tokens, row_tokens),), shared_tokens=row_tokens
    )


def appended_prefix_batch(shared_tokens: int, note_tokens: int = CACHE_BLOCK_TOKENS) -> ForwardBatch:
    """Prefill of one more note behind those in the cache."""
    start = shared_tokens - note_tokens
    prefix = Prefix((_ANY_TOKEN,) * note_tokens, cache_start=start)
    return ForwardBatch((ScheduledChunk(prefix, 0, note_tokens),), shared_tokens=shared_tokens)


def decode_batch_at_limit(cached_tokens: int, rows: int, reserved_tokens: int) -> ForwardBatch:
    """One token for each of `rows` sequences, with the longest shared prefix that fits beside them.

    `cached_tokens`: all cached tokens as the cache counts them. It rounds shared tokens up to whole blocks,
    and each sequence's `reserved_tokens` to a multiple of 128.
    """
    own_tokens = rows * (-(-reserved_tokens // 128) * 128)
    shared_tokens = (cached_tokens - own_tokens) // CACHE_BLOCK_TOKENS * CACHE_BLOCK_TOKENS
    prefix = Prefix((_ANY_TOKEN,) * shared_tokens, cache_start=0)
    tokens = [_ANY_TOKEN] * reserved_tokens
    chunks = tuple(
        ScheduledChunk(
            Continuation(prefix, tokens, (reserved_tokens - 1,), reserved_tokens=reserved_tokens, slot=slot),
            reserved_tokens - 1,
            reserved_tokens,
        )
        for slot in range(rows)
    )
    return ForwardBatch(chunks, shared_tokens=shared_tokens, num_slots=rows, slot_tokens=reserved_tokens)


def with_draft_tokens(batch: ForwardBatch, num_drafts: int) -> ForwardBatch:
    """The same batch with `num_drafts` draft tokens a sequence to verify."""
    chunks = []
    for chunk in batch.chunks:
        assert isinstance(chunk.sequence, Continuation)
        tokens = [*chunk.sequence.tokens, *[_ANY_TOKEN] * num_drafts]
        logit_indexes = tuple(range(chunk.stop - 1, chunk.stop + num_drafts))
        chunks.append(
            ScheduledChunk(
                replace(chunk.sequence, tokens=tokens, logit_indexes=logit_indexes), chunk.start, len(tokens)
            )
        )
    return replace(batch, chunks=tuple(chunks))


def limited_to_tokens(batch: ForwardBatch, num_tokens: int) -> ForwardBatch:
    """The decode batch cut to `num_tokens`: four tokens a sequence, fewer for the last one."""
    chunks: list[ScheduledChunk] = []
    for chunk in with_draft_tokens(batch, 3).chunks:
        taken = min(chunk.num_tokens, num_tokens - sum(kept.num_tokens for kept in chunks))
        if taken:
            chunks.append(replace(chunk, stop=chunk.start + taken))
    return replace(batch, chunks=tuple(chunks))


def with_adapter(batch: ForwardBatch, *, uses_adapter: bool) -> ForwardBatch:
    """The same batch with the adapter on or off for all of it."""
    for chunk in batch.chunks:
        chunk.prefix.uses_adapter = uses_adapter
    return batch
