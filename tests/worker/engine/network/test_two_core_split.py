"""Two-core split: halves have equal work, and each layer's keys and values are stored before they are
read."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from worker.engine.batching.sequences import Continuation, ForwardBatch, Prefix, ScheduledChunk
from worker.engine.network.model_loader import AdaptableNetwork
from worker.engine.network.model_runner import TransformersRunner
from worker.engine.network.two_core_split import Rendezvous, TwoCoreExecutor, split_in_halves


def prefix_chunk(num_tokens: int) -> ScheduledChunk:
    return ScheduledChunk(Prefix((1,) * num_tokens, cache_start=0), 0, num_tokens)


def continuation_chunk(num_tokens: int, *, reserved_tokens: int = 0) -> ScheduledChunk:
    continuation = Continuation(
        Prefix((1,) * 5, cache_start=0), [1] * num_tokens, (0,), reserved_tokens=reserved_tokens, slot=0
    )
    return ScheduledChunk(continuation, 0, num_tokens)


def tokens(half: Sequence[ScheduledChunk]) -> int:
    return sum(chunk.num_tokens for chunk in half)


def test_both_halves_have_about_equal_work_and_hold_all_chunks() -> None:
    chunks = [
        prefix_chunk(450),
        continuation_chunk(540),
        continuation_chunk(130),
        prefix_chunk(430),
        continuation_chunk(520),
        continuation_chunk(110),
    ]
    both = split_in_halves(chunks)
    assert len(both) == 2
    assert sorted(map(id, both[0] + both[1])) == sorted(map(id, chunks))
    assert max(map(tokens, both)) <= 0.55 * tokens(chunks)


def test_a_long_prefix_is_split_and_a_long_continuation_is_not() -> None:
    both = split_in_halves([prefix_chunk(2_048)])
    (first, stop), (start, last) = [(chunk.start, chunk.stop) for half in both for chunk in half]
    assert (first, last) == (0, 2_048)
    assert 1_024 < stop == start < 1_300  # later tokens attend to more
    assert len(split_in_halves([continuation_chunk(2_000)])) == 1


def test_a_half_with_more_attention_has_fewer_tokens() -> None:
    continuation = Continuation(Prefix((1,) * 2_000, cache_start=0), [1] * 500, (0,))
    both = split_in_halves([ScheduledChunk(continuation, 0, 500), prefix_chunk(1_500)])
    half_of_continuation = next(
        half for half in both if any(chunk.sequence is continuation for chunk in half)
    )
    assert (
        750 < tokens(half_of_continuation) < 800
    )  # the continuation, and the end of the prefix, whose tokens attend to more


@pytest.mark.parametrize(
    "chunks",
    [
        [prefix_chunk(180), prefix_chunk(180)],
        [prefix_chunk(400), continuation_chunk(400, reserved_tokens=500)],
    ],
)
def test_few_tokens_and_generating_continuations_are_not_split(chunks: list[ScheduledChunk]) -> None:
    assert split_in_halves(chunks) == [chunks]


def test_halves_wait_for_each_other_and_use_one_core_each() -> None:
    before = torch.get_num_threads()
    executor, events = TwoCoreExecutor(), []

    def compute(half: Sequence[ScheduledChunk], rendezvous: Rendezvous) -> tuple[str, int]:
        for layer in range(20):
            events.append((layer, "before"))
            rendezvous()
            events.append((layer, "after"))
        return threading.current_thread().name, torch.get_num_threads()

    threads_and_cores = executor.run([[prefix_chunk(1)], [prefix_chunk(2)]], compute)
    assert len({name for name, _ in threads_and_cores}) == 2
    assert [cores for _, cores in threads_and_cores] == [1, 1]
    assert torch.get_num_threads() == before
    for layer in range(20):
        before_indexes = [index for index, event in enumerate(events) if event == (layer, "before")]
        assert max(before_indexes) < events.index((layer, "after"))


def test_an_error_of_one_half_ends_the_other_and_the_next_batch_runs() -> None:
    cores = torch.get_num_threads()
    executor = TwoCoreExecutor()

    def compute(half: Sequence[ScheduledChunk], rendezvous: Rendezvous) -> int:
        rendezvous()
        if half[0].num_tokens == 1:
            raise MemoryError
        rendezvous()
        return tokens(half)

    try:
        with pytest.raises(MemoryError):
            executor.run([[prefix_chunk(2)], [prefix_chunk(1)]], compute)
        assert executor.run([[prefix_chunk(2)], [prefix_chunk(3)]], compute) == [2, 3]
    finally:
        torch.set_num_threads(cores)


@pytest.mark.parametrize("sizes", [(900, 300), (450, 400)])
def test_a_batch_in_halves_equals_the_whole_batch(sizes: tuple[int, int]) -> None:
    """The first case splits the longer prefix; in the second a continuation and its prefix may be in
    different halves."""
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=96,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        initializer_range=0.3,
    )
    network = MistralForCausalLM(config).to(torch.bfloat16).eval()
    runner = TransformersRunner(AdaptableNetwork(network), torch.device("cpu"))
    generator, chunks, offset = np.random.default_rng(0), [], 0
    for size in sizes:
        prefix = Prefix(tuple(map(int, generator.integers(0, 96, size))), cache_start=offset)
        offset += size
        chunks.append(ScheduledChunk(prefix, 0, size))
        for length in (120, 90):
            tokens = [int(token) for token in generator.integers(0, 96, length)]
            wanted = tuple(range(0, length, 7))
            chunks.append(ScheduledChunk(Continuation(prefix, tokens, wanted, columns=(1, 2, 3)), 0, length))
    batch, cores = ForwardBatch(tuple(chunks), shared_tokens=offset), torch.get_num_threads()
    assert len(split_in_halves(batch.chunks)) == 2
    try:
        logits_by_mode = []
        for executor in (None, TwoCoreExecutor()):
            runner._two_core_executor = executor
            runner._cache.clear()
            logits_by_mode.append(runner.run(batch))
    finally:
        torch.set_num_threads(cores)
    whole, halved = logits_by_mode
    assert set(whole) == set(halved) == set(batch.continuations)
    for continuation in whole:
        np.testing.assert_allclose(halved[continuation], whole[continuation], atol=0.15)
        assert np.abs(whole[continuation]).max() > 1
