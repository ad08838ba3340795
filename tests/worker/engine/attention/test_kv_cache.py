"""KV cache: it keeps its content when it grows and stays within its limit."""

from __future__ import annotations

import pytest
import torch

from worker.engine.attention.kv_cache import KvCache
from worker.engine.batching.sequences import CacheCopy


def cache(max_tokens: int) -> KvCache:
    return KvCache(num_layers=2, key_heads=1, size=2, device=torch.device("cpu"), max_tokens=max_tokens)


def fill(kv_cache: KvCache) -> list[torch.Tensor]:
    """Fills all tensors with numbers; returns copies of the shared keys and the slots' keys of the last
    layer."""
    for number, tensor in enumerate(
        t for layers in (kv_cache._shared, kv_cache._own) for pair in layers for t in pair
    ):
        tensor.copy_(torch.arange(tensor.numel()).view(tensor.shape) % 250 + number)
    return [kv_cache._shared[-1][0].clone(), kv_cache._own[-1][0].clone()]


def test_the_cache_grows_in_steps_and_keeps_its_content() -> None:
    kv_cache = cache(1_000_000)
    kv_cache.make_room(shared_tokens=5_000, num_slots=3, slot_tokens=100)
    shared, own = fill(kv_cache)
    kv_cache.make_room(shared_tokens=6_500, num_slots=9, slot_tokens=300)
    assert kv_cache.num_tokens > 6_500 + 9 * 300
    assert torch.equal(kv_cache._shared[-1][0][:, : shared.shape[1]], shared)
    assert torch.equal(kv_cache._own[-1][0][: len(own), :, : own.shape[2]], own)


@pytest.mark.parametrize("max_tokens", [20_000, 30_000])
def test_many_short_continuations_followed_by_few_long_ones_stay_within_the_limit(max_tokens: int) -> None:
    kv_cache = cache(max_tokens)
    kv_cache.make_room(shared_tokens=2_000, num_slots=32, slot_tokens=450)
    kv_cache.make_room(shared_tokens=2_000, num_slots=2, slot_tokens=2_000)
    assert kv_cache.num_tokens <= max_tokens
    shared, own = fill(kv_cache)
    kv_cache.make_room(shared_tokens=12_000, num_slots=2, slot_tokens=1_900)
    assert kv_cache.num_tokens <= max_tokens
    assert torch.equal(kv_cache._shared[-1][0][:, :2_000], shared[:, :2_000])
    assert torch.equal(kv_cache._own[-1][0][:2, :, :1_900], own[:2, :, :1_900])


def test_a_batch_that_needs_more_than_the_limit_gets_it() -> None:
    kv_cache = cache(1_000)
    kv_cache.make_room(shared_tokens=5_000, num_slots=1, slot_tokens=100)
    assert kv_cache.num_tokens >= 5_100
    kv_cache.clear()
    assert kv_cache.num_tokens == 0


def test_copies_are_made_in_order() -> None:
    kv_cache = cache(1_000_000)
    kv_cache.make_room(shared_tokens=100, num_slots=1, slot_tokens=1)
    shared, _ = fill(kv_cache)
    kv_cache.copy(
        [CacheCopy(source=0, target=50, num_tokens=20), CacheCopy(source=60, target=5, num_tokens=10)]
    )
    keys = kv_cache._shared[-1][0]
    assert torch.equal(keys[:, 50:70], shared[:, :20])
    assert torch.equal(keys[:, 5:15], shared[:, 10:20])
    assert torch.equal(keys[:, 70:], shared[:, 70:])
