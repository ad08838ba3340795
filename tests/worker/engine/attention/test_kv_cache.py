"""The cache of keys and values: it keeps what is there and stays within what it may have."""

from __future__ import annotations

import pytest
import torch

from worker.engine.attention.kv_cache import KvCache
from worker.engine.batching.sequences import CacheCopy


def cache(max_tokens: int) -> KvCache:
    return KvCache(num_layers=2, key_heads=1, size=2, device=torch.device("cpu"), max_tokens=max_tokens)


def fill(one: KvCache) -> list[torch.Tensor]:
    """Writes numbers everywhere; returns copies of shared keys and branches' keys of the last layer."""
    for number, tensor in enumerate(t for layers in (one._shared, one._own) for pair in layers for t in pair):
        tensor.copy_(torch.arange(tensor.numel()).view(tensor.shape) % 250 + number)
    return [one._shared[-1][0].clone(), one._own[-1][0].clone()]


def test_it_grows_by_more_than_is_asked_and_keeps_what_is_there() -> None:
    one = cache(1_000_000)
    one.make_room(shared_tokens=5_000, num_slots=3, slot_tokens=100)
    shared, own = fill(one)
    one.make_room(shared_tokens=6_500, num_slots=9, slot_tokens=300)
    assert one.num_tokens > 6_500 + 9 * 300
    assert torch.equal(one._shared[-1][0][:, : shared.shape[1]], shared)
    assert torch.equal(one._own[-1][0][: len(own), :, : own.shape[2]], own)


@pytest.mark.parametrize("most", [20_000, 30_000])
def test_many_short_branches_and_then_few_long_ones_do_not_add_up(most: int) -> None:
    one = cache(most)
    one.make_room(shared_tokens=2_000, num_slots=32, slot_tokens=450)
    one.make_room(shared_tokens=2_000, num_slots=2, slot_tokens=2_000)
    assert one.num_tokens <= most
    shared, own = fill(one)
    one.make_room(shared_tokens=12_000, num_slots=2, slot_tokens=1_900)
    assert one.num_tokens <= most
    assert torch.equal(one._shared[-1][0][:, :2_000], shared[:, :2_000])
    assert torch.equal(one._own[-1][0][:2, :, :1_900], own[:2, :, :1_900])


def test_what_is_asked_beyond_it_is_had_all_the_same() -> None:
    one = cache(1_000)
    one.make_room(shared_tokens=5_000, num_slots=1, slot_tokens=100)
    assert one.num_tokens >= 5_100
    one.clear()
    assert one.num_tokens == 0


def test_copies_are_made_one_after_another() -> None:
    one = cache(1_000_000)
    one.make_room(shared_tokens=100, num_slots=1, slot_tokens=1)
    shared, _ = fill(one)
    one.copy([CacheCopy(source=0, target=50, num_tokens=20), CacheCopy(source=60, target=5, num_tokens=10)])
    keys = one._shared[-1][0]
    assert torch.equal(keys[:, 50:70], shared[:, :20])
    assert torch.equal(keys[:, 5:15], shared[:, 10:20])
    assert torch.equal(keys[:, 70:], shared[:, 70:])
