"""Attention of continuations that decode, with the Triton kernel (in its interpreter without a GPU) and
without it, and inputs of CUDA graphs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from worker.engine.attention.batch_packing import layout_of
from worker.engine.attention.cuda_graphs import GRAPH_SIZES, _packed_inputs, _split_inputs
from worker.engine.attention.kv_cache import KvCache, _write
from worker.engine.batching.sequences import Continuation, Prefix, ScheduledChunk

CPU = torch.device("cpu")
HEADS, KEY_HEADS, SIZE = 6, 2, 16
IS_CUDA = torch.cuda.is_available()


def chunks(widths: tuple[int, ...], seed: int = 0, *, are_new: bool = False) -> list[ScheduledChunk]:
    """Returns chunks of continuations of two prefixes, each in its own slot.

    Each continuation has some computed tokens. If `are_new`, none has, and all but the last follow the first
    prefix."""
    generator = torch.Generator().manual_seed(seed)
    prefixes = (Prefix((7,) * 70, cache_start=0), Prefix((7,) * 131, cache_start=70))
    scheduled_chunks = []
    for slot, width in enumerate(widths):
        num_computed = 0 if are_new else int(torch.randint(0, 90, (), generator=generator))
        tokens = torch.randint(0, 60, (num_computed + width,), generator=generator).tolist()
        prefix = prefixes[slot == len(widths) - 1] if are_new else prefixes[slot % 2]
        continuation = Continuation(prefix, tokens, (num_computed,), reserved_tokens=128, slot=slot)
        scheduled_chunks.append(ScheduledChunk(continuation, num_computed, num_computed + width))
    return scheduled_chunks


def filled_cache() -> KvCache:
    cache = KvCache(num_layers=2, key_heads=KEY_HEADS, size=SIZE, device=CPU, max_tokens=100_000)
    cache.make_room(shared_tokens=300, num_slots=8, slot_tokens=128)
    generator = torch.Generator().manual_seed(1)
    for tensor in (t for layers in (cache._shared, cache._own) for pair in layers for t in pair):
        tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return cache


def plain_attention(
    scheduled_chunks: list[ScheduledChunk], query: torch.Tensor, shared: torch.Tensor, own: torch.Tensor
) -> torch.Tensor:
    """Plain attention in fp64, token by token and head by head; `shared`, `own`: keys, then values."""
    out = torch.empty(query.shape, dtype=torch.float64)
    packed = [(chunk, position) for chunk in scheduled_chunks for position in range(chunk.start, chunk.stop)]
    for row, (chunk, position) in enumerate(packed):
        start, slot = chunk.prefix.cache_start, chunk.sequence.slot
        stop = start + len(chunk.prefix.tokens)
        for head in range(HEADS):
            key_head = head * KEY_HEADS // HEADS
            keys, values = (
                torch.cat(
                    (prefix_states[key_head, start:stop], own_states[slot, key_head, : position + 1])
                ).double()
                for prefix_states, own_states in zip(shared, own, strict=True)
            )
            weights = (keys @ query[row, head].double() / SIZE**0.5).softmax(-1)
            out[row, head] = weights @ values
    return out


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton comes with torch for CUDA")
@pytest.mark.skipif(IS_CUDA, reason="the next test runs on the GPU")
def test_the_triton_kernel_passes_the_next_test_in_the_interpreter() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    test = f"{__file__}::test_the_triton_kernel_equals_plain_softmax"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", test]
    subprocess.run(command, env=environment, check=True, timeout=300)


@pytest.mark.skipif(not (IS_CUDA or "TRITON_INTERPRET" in os.environ), reason="run by the test above")
@pytest.mark.parametrize("widths", [(1,), (7, 1, 3), (1, 1, 1, 1, 1, 8, 2)])
def test_the_triton_kernel_equals_plain_softmax(widths: tuple[int, ...]) -> None:
    from worker.engine.attention import decode_kernel

    scheduled_chunks, generator = chunks(widths), torch.Generator().manual_seed(2)
    # Triton's interpreter multiplies bf16 as if it were integers.
    device, dtype, tolerance = ("cuda", torch.bfloat16, 0.02) if IS_CUDA else ("cpu", torch.float32, 1e-5)
    shapes = ((sum(widths), HEADS, SIZE), (2, KEY_HEADS, 300, SIZE), (2, 8, KEY_HEADS, 128, SIZE))
    query, shared, own = (torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes)
    kernel_rows = layout_of(
        scheduled_chunks, HEADS // KEY_HEADS, torch.device(device), has_kernel=True
    ).kernel_rows
    assert kernel_rows is not None
    padded_rows = torch.cat((kernel_rows, torch.zeros_like(kernel_rows)))  # rows without tokens write nothing
    out = torch.full_like(query, float("nan"))
    decode_kernel.attend(query, (shared[0], shared[1]), (own[0], own[1]), padded_rows, out)
    assert decode_kernel.is_working(torch.device(device), HEADS, KEY_HEADS, SIZE)
    expected = plain_attention(scheduled_chunks, query.cpu(), shared.cpu(), own.cpu())
    torch.testing.assert_close(out.double().cpu(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("are_new", [False, True])
@pytest.mark.parametrize("widths", [(1,), (7, 1, 3), (1, 1, 1, 1, 1, 8, 2), (2, 100), (30, 40, 3, 60, 50)])
def test_attention_without_the_kernel_equals_plain_softmax(widths: tuple[int, ...], are_new: bool) -> None:
    """The last widths are longer than a decoding step; with `are_new` they are those of questions."""
    scheduled_chunks = chunks(widths, are_new=are_new)
    generator, cache = torch.Generator().manual_seed(3), filled_cache()
    cache.make_room(shared_tokens=300, num_slots=8, slot_tokens=256)
    heads = (HEADS, KEY_HEADS, KEY_HEADS)
    query, key, value = (
        torch.randn(sum(widths), num_heads, SIZE, generator=generator).bfloat16() for num_heads in heads
    )
    layout = layout_of(scheduled_chunks, HEADS // KEY_HEADS, CPU)
    cache.store(0, key, value, layout)
    expected = plain_attention(
        scheduled_chunks, query, torch.stack(cache._shared[0]), torch.stack(cache._own[0])
    )
    attended = cache.attend(0, query, key, value, layout)
    torch.testing.assert_close(attended.double(), expected, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("widths", [(1,), (7, 1, 3), (8, 8, 8, 8)])
def test_a_recorded_batch_stores_the_same_keys_and_values(widths: tuple[int, ...]) -> None:
    scheduled_chunks = chunks(widths)
    tokens = sum(widths)
    size = next(graph_size for graph_size in GRAPH_SIZES if graph_size >= tokens)
    step = _split_inputs(torch.tensor(_packed_inputs(scheduled_chunks, size)), size)
    layout = layout_of(scheduled_chunks, HEADS // KEY_HEADS, CPU, has_kernel=True)
    assert step.tokens.shape == step.positions.shape == (1, size)
    assert layout.kernel_rows is not None
    assert step.layout.kernel_rows is not None
    assert torch.equal(step.layout.kernel_rows[: len(widths)], layout.kernel_rows)
    assert step.tokens[0, :tokens].tolist() == [
        token for chunk in scheduled_chunks for token in chunk.sequence.tokens[chunk.start : chunk.stop]
    ]
    new = torch.randn(tokens, KEY_HEADS, SIZE).bfloat16()
    added = torch.cat((new, new[-1:].expand(size - tokens, -1, -1)))
    caches = [filled_cache(), filled_cache()]
    for cache, batch_layout, key_states in zip(caches, (layout, step.layout), (new, added), strict=True):
        _write(batch_layout.kv_write, cache._shared[0][0], cache._own[0][0], key_states)
    assert torch.equal(caches[0]._own[0][0], caches[1]._own[0][0])
