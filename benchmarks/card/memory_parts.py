"""GPU memory of weights, forward passes and caches, compared with the memory plan."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import torch

from benchmarks.card.card_setup import BUDGET_BYTES, Card
from benchmarks.card.figure_format import NamedFigures, four_digits, mib
from benchmarks.card.forced_steps import (
    CACHE_BLOCK_TOKENS,
    appended_prefix_batch,
    decode_batch_at_limit,
    long_prefix_batch,
    prefill_batch,
)
from benchmarks.card.limited_memory import memory_limit
from benchmarks.machine.engine_steps import BenchmarkModel
from benchmarks.machine.tensor_bytes import stored_bytes
from benchmarks.roofline import prefix_texts
from worker.engine.batching.batched_engine import OutOfMemoryError
from worker.engine.batching.sequences import ForwardBatch, Prefix, ScheduledChunk
from worker.engine.memory.memory_plan import CUDA_CONTEXT_BYTES

_SEQUENCE_TOKENS = 512


def memory(card: Card) -> NamedFigures:
    """Weights, CUDA context and the largest batches compared with the memory plan."""
    plan, allocated = card.plan(), 0
    if card.is_cuda:
        torch.zeros(1, device=card.device)
        allocated = torch.cuda.memory_allocated()
        yield "in_use_mib_before", mib(card.bytes_before)
        yield "context_mib_at_start", mib(card.context_bytes())
    began = time.perf_counter()
    network = card.network("nf4")
    yield "made_in_seconds", four_digits(time.perf_counter() - began)
    yield "weights_mib_planned", mib(plan.weights_bytes)
    yield "weights_mib_stored", mib(stored_bytes(card.weights["nf4"].plain))
    yield "activations_mib_planned", mib(plan.activation_bytes)
    if card.is_cuda:
        yield "weights_mib_allocated", mib(torch.cuda.memory_allocated() - allocated)
        yield "weights_mib_reserved", mib(torch.cuda.memory_reserved())
    for name, batch in _largest_batches(card, network).items():
        reach = plan.attention_bytes_a_token * max(_attended_tokens(chunk) for chunk in batch.chunks)
        planned = {"tokens": batch.num_tokens, "planned": mib(plan.activation_bytes + reach)}
        yield f"{name}_mib", planned | _peak(card, network, batch)
    if card.is_cuda:
        yield "context_mib_planned", mib(CUDA_CONTEXT_BYTES)
        yield "context_mib_after_steps", mib(card.context_bytes())


def fits(card: Card) -> NamedFigures:
    """The plan's cached tokens in 8 GiB: all at once, beside 32 sequences, and grown note by note."""
    tokens = card.plan().cached_tokens if card.is_cuda else card.sizes.cached_tokens
    context = max(card.context_bytes(), 0) if card.is_cuda else 0
    yield "cached_tokens_planned", tokens
    rows = min(32, card.sizes.num_continuations[-1])
    tries: dict[str, Iterable[ForwardBatch]] = {
        "one_row_of_all": [long_prefix_batch(tokens, card.sizes.full_step)],
        "half_a_row_of_all": [long_prefix_batch(tokens // 2, card.sizes.full_step)],
        f"{rows}_branches_and_the_rest_shared": [decode_batch_at_limit(tokens, rows, _SEQUENCE_TOKENS)],
        "grown_note_by_note": [
            appended_prefix_batch(stop) for stop in range(CACHE_BLOCK_TOKENS, tokens + 1, CACHE_BLOCK_TOKENS)
        ],
    }
    card.drop_weights("nf4 adapter")
    card.network("nf4")  # made before the limit
    with memory_limit(card.device, BUDGET_BYTES - context):
        for name, batches in tries.items():
            yield name, _fitted(card, batches, tokens)


def _fitted(card: Card, batches: Iterable[ForwardBatch], max_tokens: int) -> dict[str, Any]:
    """Cached tokens that one runner reaches. Its caches are freed on return, before the next try."""
    network = card.network("nf4", max_tokens=max_tokens)
    figures: dict[str, Any] = {"fitted_tokens": 0}
    for batch in batches:
        tokens = batch.shared_tokens + batch.num_slots * batch.slot_tokens
        try:
            figures = {"fitted_tokens": tokens} | _peak(card, network, batch)
        except OutOfMemoryError:
            return {"fitted_tokens": figures["fitted_tokens"], "ran_out_at_tokens": tokens}
    return figures


def _largest_batches(card: Card, network: BenchmarkModel) -> dict[str, ForwardBatch]:
    return {
        "windows_read": prefill_batch(network, card.sizes.full_step),
        "one_row_read": long_prefix_batch(card.sizes.full_step, card.sizes.full_step),
        "32_branches_write": network.decode_batch(prefix_texts(network, 32), 32, card.settings),
        "decides": network.scoring_batch(card.texts(network, card.sizes.step_notes), card.settings),
    }


def _peak(card: Card, network: BenchmarkModel, batch: ForwardBatch) -> dict[str, float]:
    """Peak MiB of a batch above the memory before. Runs twice, so that growing caches do not count."""
    network.runner.run(batch)
    if not card.is_cuda:
        return {}
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    network.runner.run(batch)
    torch.cuda.synchronize()
    return {
        "step": mib(torch.cuda.max_memory_allocated() - held),
        "held": mib(held),
        "reserved": mib(torch.cuda.memory_reserved()),
    }


def _attended_tokens(chunk: ScheduledChunk) -> int:
    before = 0 if isinstance(chunk.sequence, Prefix) else chunk.sequence.num_prefix_tokens
    return before + chunk.stop
