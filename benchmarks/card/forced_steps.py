"""Steps that no scheduler makes in one go: full ones, and those at a cache's limit."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.machine.engine_steps import BenchmarkModel
from benchmarks.machine.token_counts import note_of_length
from worker.engine.batching.sequences import Continuation, ForwardBatch, Prefix, ScheduledChunk

CACHE_BLOCK_TOKENS = 2_048
"""By which the shared cache grows (worker.engine.attention.kv_cache)."""
_WINDOW_TOKENS = 500
_ANY_TOKEN = 100


def prefill_batch(network: BenchmarkModel, num_tokens: int) -> ForwardBatch:
    """Windows of about 500 tokens, the last one cut: a step that is full of them."""
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
    """The last tokens of a row that fills the cache: what looks back the furthest."""
    beginning = Prefix((_ANY_TOKEN,) * row_tokens, cache_start=0)
    return ForwardBatch(
        (ScheduledChunk(beginning, row_tokens - step_tokens, row_tokens),), shared_tokens=row_tokens
    )


def appended_prefix_batch(shared_tokens: int, note_tokens: int = CACHE_BLOCK_TOKENS) -> ForwardBatch:
    """One more note behind those that lie in the cache already."""
    start = shared_tokens - note_tokens
    beginning = Prefix((_ANY_TOKEN,) * note_tokens, cache_start=start)
    return ForwardBatch((ScheduledChunk(beginning, 0, note_tokens),), shared_tokens=shared_tokens)


def decode_batch_at_limit(cached_tokens: int, rows: int, reserved_tokens: int) -> ForwardBatch:
    """A token for each of so many branches, over all that can be shared beside them.

    `cached_tokens`: of all together, as a cache counts them: what is shared is rounded up to whole rooms, and
    `reserved_tokens`, each branch's own, to a multiple of 128.
    """
    own_tokens = rows * (-(-reserved_tokens // 128) * 128)
    shared_tokens = (cached_tokens - own_tokens) // CACHE_BLOCK_TOKENS * CACHE_BLOCK_TOKENS
    beginning = Prefix((_ANY_TOKEN,) * shared_tokens, cache_start=0)
    tokens = [_ANY_TOKEN] * reserved_tokens
    chunks = tuple(
        ScheduledChunk(
            Continuation(
                beginning, tokens, (reserved_tokens - 1,), reserved_tokens=reserved_tokens, slot=slot
            ),
            reserved_tokens - 1,
            reserved_tokens,
        )
        for slot in range(rows)
    )
    return ForwardBatch(chunks, shared_tokens=shared_tokens, num_slots=rows, slot_tokens=reserved_tokens)


def with_draft_tokens(batch: ForwardBatch, guesses: int) -> ForwardBatch:
    """The same with so many tokens more for each branch, to be verified."""
    chunks = []
    for chunk in batch.chunks:
        assert isinstance(chunk.sequence, Continuation)
        tokens = [*chunk.sequence.tokens, *[_ANY_TOKEN] * guesses]
        wanted = tuple(range(chunk.stop - 1, chunk.stop + guesses))
        chunks.append(
            ScheduledChunk(
                replace(chunk.sequence, tokens=tokens, logit_indexes=wanted), chunk.start, len(tokens)
            )
        )
    return replace(batch, chunks=tuple(chunks))


def limited_to_tokens(batch: ForwardBatch, num_tokens: int) -> ForwardBatch:
    """Of a step that writes as many as it has, four for each branch, the last branch's fewer."""
    chunks = []
    for chunk in with_draft_tokens(batch, 3).chunks:
        taken = min(chunk.num_tokens, num_tokens - sum(one.num_tokens for one in chunks))
        if taken:
            chunks.append(replace(chunk, stop=chunk.start + taken))
    return replace(batch, chunks=tuple(chunks))


def with_adapter(batch: ForwardBatch, *, uses_adapter: bool) -> ForwardBatch:
    """The same with the adapter in effect for all of it, or for none."""
    for chunk in batch.chunks:
        chunk.prefix.uses_adapter = uses_adapter
    return batch
