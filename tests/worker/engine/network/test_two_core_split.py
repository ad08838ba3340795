"""A step in halves: of as many tokens as can be, each layer's keys and values stored before they are read."""

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


def read(num_tokens: int) -> ScheduledChunk:
    return ScheduledChunk(Prefix((1,) * num_tokens, cache_start=0), 0, num_tokens)


def decided(num_tokens: int, *, reserved_tokens: int = 0) -> ScheduledChunk:
    continuation = Continuation(
        Prefix((1,) * 5, cache_start=0), [1] * num_tokens, (0,), reserved_tokens=reserved_tokens, slot=0
    )
    return ScheduledChunk(continuation, 0, num_tokens)


def tokens(half: Sequence[ScheduledChunk]) -> int:
    return sum(chunk.num_tokens for chunk in half)


def test_both_halves_have_about_as_much_to_do_and_nothing_is_left_out() -> None:
    chunks = [read(450), decided(540), decided(130), read(430), decided(520), decided(110)]
    both = split_in_halves(chunks)
    assert len(both) == 2
    assert sorted(map(id, both[0] + both[1])) == sorted(map(id, chunks))
    assert max(map(tokens, both)) <= 0.55 * tokens(chunks)


def test_a_long_beginning_is_cut_and_a_long_branch_is_not() -> None:
    both = split_in_halves([read(2_048)])
    (first, stop), (start, last) = [(chunk.start, chunk.stop) for half in both for chunk in half]
    assert (first, last) == (0, 2_048)
    assert 1_024 < stop == start < 1_300  # what is read later attends to more
    assert len(split_in_halves([decided(2_000)])) == 1


def test_a_half_that_attends_to_more_has_fewer_tokens() -> None:
    continuation = Continuation(Prefix((1,) * 2_000, cache_start=0), [1] * 500, (0,))
    both = split_in_halves([ScheduledChunk(continuation, 0, 500), read(1_500)])
    asked = next(half for half in both if any(chunk.sequence is continuation for chunk in half))
    assert 750 < tokens(asked) < 800  # the branch, and the end of what is read, of which each token sees more


@pytest.mark.parametrize("chunks", [[read(180), read(180)], [read(400), decided(400, reserved_tokens=500)]])
def test_few_tokens_and_branches_that_write_stay_together(chunks: list[ScheduledChunk]) -> None:
    assert split_in_halves(chunks) == [chunks]


def test_halves_wait_for_each_other_and_have_a_core_each() -> None:
    before = torch.get_num_threads()
    lanes, met = TwoCoreExecutor(), []

    def compute(half: Sequence[ScheduledChunk], meet: Rendezvous) -> tuple[str, int]:
        for layer in range(20):
            met.append((layer, "before"))
            meet()
            met.append((layer, "after"))
        return threading.current_thread().name, torch.get_num_threads()

    found = lanes.run([[read(1)], [read(2)]], compute)
    assert len({name for name, _ in found}) == 2
    assert [cores for _, cores in found] == [1, 1]
    assert torch.get_num_threads() == before
    for layer in range(20):
        places = [place for place, one in enumerate(met) if one == (layer, "before")]
        assert max(places) < met.index((layer, "after"))


def test_what_one_half_raises_ends_the_other_and_the_next_step_runs() -> None:
    cores = torch.get_num_threads()
    lanes = TwoCoreExecutor()

    def compute(half: Sequence[ScheduledChunk], meet: Rendezvous) -> int:
        meet()
        if half[0].num_tokens == 1:
            raise MemoryError
        meet()
        return tokens(half)

    try:
        with pytest.raises(MemoryError):
            lanes.run([[read(2)], [read(1)]], compute)
        assert lanes.run([[read(2)], [read(3)]], compute) == [2, 3]
    finally:
        torch.set_num_threads(cores)


@pytest.mark.parametrize("sizes", [(900, 300), (450, 400)])
def test_a_step_in_halves_finds_what_the_whole_finds(sizes: tuple[int, int]) -> None:
    """The longer beginning of the first is cut; of the second a branch and its beginning may be apart."""
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
    chance, chunks, offset = np.random.default_rng(0), [], 0
    for size in sizes:
        prefix = Prefix(tuple(map(int, chance.integers(0, 96, size))), cache_start=offset)
        offset += size
        chunks.append(ScheduledChunk(prefix, 0, size))
        for length in (120, 90):
            tokens = [int(one) for one in chance.integers(0, 96, length)]
            wanted = tuple(range(0, length, 7))
            chunks.append(ScheduledChunk(Continuation(prefix, tokens, wanted, columns=(1, 2, 3)), 0, length))
    step, cores = ForwardBatch(tuple(chunks), shared_tokens=offset), torch.get_num_threads()
    assert len(split_in_halves(step.chunks)) == 2
    try:
        found = []
        for lanes in (None, TwoCoreExecutor()):
            runner._two_core_executor = lanes
            runner._cache.clear()
            found.append(runner.run(step))
    finally:
        torch.set_num_threads(cores)
    whole, halved = found
    assert set(whole) == set(halved) == set(step.continuations)
    for continuation in whole:
        np.testing.assert_allclose(halved[continuation], whole[continuation], atol=0.15)
        assert np.abs(whole[continuation]).max() > 1
