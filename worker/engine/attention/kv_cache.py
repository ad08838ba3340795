"""Keys and values of what was read: beginnings in one long cache, branches that write in rows of another.

A branch sees its beginning where it lies; nothing is copied. Knows no scheduler: it is told where.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch

from worker.engine.attention import packed_attention
from worker.engine.attention.batch_layout import BatchLayout, DecodeRows, KvWrite, PrefillChunk
from worker.engine.batching.sequences import CacheCopy
from worker.engine.memory.footprint import KEY_BLOCK, rounded_up

Caches = tuple[torch.Tensor, torch.Tensor]

_SHARED_ROUNDING = 2_048
_SLOT_ROUNDING = 128
_SLOTS_ROUNDING = 8
"""Growing copies all that is there, so not a slot at a time."""
_LEAST_ROUNDING = KEY_BLOCK
"""Where there is no room to spare."""


class KvCache:
    """A tensor a layer for keys, one for values, in bf16.

    Shared: [key heads, tokens, size]. Branches: [slots, key heads, tokens, size].
    """

    def __init__(
        self, *, num_layers: int, key_heads: int, size: int, device: torch.device, max_tokens: int
    ) -> None:
        """`max_tokens`: of both together, as far as a step does not need more."""
        self._num_layers = num_layers
        self._key_heads = key_heads
        self._size = size
        self._device = device
        self._max_tokens = max_tokens
        self.generation = 0
        """Another one where keys and values lie elsewhere than before."""
        self.clear()

    def clear(self) -> None:
        """Gives the memory back."""
        self.generation += 1
        self._shared = [self._pair(0) for _ in range(self._num_layers)]
        self._own = [self._pair(0, slots=0) for _ in range(self._num_layers)]

    @property
    def num_tokens(self) -> int:
        """For which there is memory now, used or not."""
        slots, _, tokens, _ = self._own[0][0].shape
        return int(self._shared[0][0].shape[1] + slots * tokens)

    def make_room(self, *, shared_tokens: int, num_slots: int, slot_tokens: int) -> None:
        """Grows, keeping what is there. Where that would be more than it may have, it is made to measure:
        what lies beyond the asked room is no longer needed."""
        have = self._shared[0][0].shape[1]
        have_slots, _, have_tokens, _ = self._own[0][0].shape
        if shared_tokens <= have and num_slots <= have_slots and slot_tokens <= have_tokens:
            return
        wished = _Room(
            have
            if shared_tokens <= have
            else rounded_up(max(shared_tokens, have * 3 // 2), _SHARED_ROUNDING),
            max(rounded_up(num_slots, _SLOTS_ROUNDING), have_slots),
            max(rounded_up(slot_tokens, _SLOT_ROUNDING), have_tokens),
        )
        measured = _Room(
            rounded_up(shared_tokens, _LEAST_ROUNDING), num_slots, rounded_up(slot_tokens, _LEAST_ROUNDING)
        )
        room = wished if wished.tokens <= self._max_tokens else measured
        self._resize(self._shared, room.shared)
        self._resize(self._own, room.slot_tokens, room.slots)

    def _resize(self, layers: list[Caches], tokens: int, slots: int | None = None) -> None:
        """A layer after the other, so that only one is there twice."""
        for number, (keys, values) in enumerate(layers):
            if keys.shape[-2] == tokens and slots in (None, keys.shape[0]):
                return
            grown = self._pair(tokens, slots=slots)
            kept = tuple(slice(0, min(pair)) for pair in zip(keys.shape, grown[0].shape, strict=True))
            for new, old in zip(grown, (keys, values), strict=True):
                new[kept] = old[kept]
            layers[number] = grown
        self.generation += 1

    def copy(self, copies: Iterable[CacheCopy]) -> None:
        """Within the shared cache, one after another."""
        for one in copies:
            source = slice(one.source, one.source + one.num_tokens)
            target = slice(one.target, one.target + one.num_tokens)
            for tensor in (tensor for pair in self._shared for tensor in pair):
                tensor[:, target] = tensor[:, source]

    def store(self, layer: int, key: torch.Tensor, value: torch.Tensor, plan: BatchLayout) -> None:
        """Keeps keys and values of the packed tokens, as the plan says; both: [tokens, key heads, size]."""
        for kept, new in zip(self._both(layer), (key, value), strict=True):
            _store(plan.store, *kept, new)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, plan: BatchLayout
    ) -> torch.Tensor:
        """Each piece as the plan says, over what is stored.

        query: [tokens, heads, size]; key, value: [tokens, key heads, size]. Returns [tokens, heads, size].
        """
        out = torch.empty_like(query)
        is_last = layer == self._num_layers - 1
        for chunk in plan.long:
            if chunk.is_beginning and is_last and plan.wanted is not None:
                continue  # what follows sees its keys and values, and nothing is asked of it
            out[chunk.here] = self._of_long(
                layer, query[chunk.here], key[chunk.here], value[chunk.here], chunk
            )
        if plan.short is not None:
            out[plan.short.index] = self._of_short(layer, query[plan.short.index], plan.short)
        if plan.listed is not None:
            from worker.engine.attention import decode_kernel

            decode_kernel.attend(query, self._shared[layer], self._own[layer], plan.listed, out)
        return out

    def _both(self, layer: int) -> tuple[Caches, Caches]:
        """Keys, then values: each in the shared cache and in the branches'."""
        (shared_keys, shared_values), (keys, values) = self._shared[layer], self._own[layer]
        return (shared_keys, keys), (shared_values, values)

    def _of_long(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, chunk: PrefillChunk
    ) -> torch.Tensor:
        keys, values = self._shared[layer]
        seen = [(keys[:, one.start : one.stop], values[:, one.start : one.stop]) for one in chunk.pasts]
        if chunk.is_beginning:
            return packed_attention.causal(query, *seen[0])
        own = (key.transpose(0, 1), value.transpose(0, 1))
        if chunk.slot_tokens:
            kept = (one[chunk.slot, :, : chunk.slot_tokens] for one in self._own[layer])
            own = _one_after_another(kept, own)
        if chunk.mask is not None:
            return packed_attention.masked_together(query, *_one_after_another(*seen, own), chunk.mask)
        if packed_attention.is_fused_faster(self._device):
            reached = [
                (keys[:, one.start : one.reach], values[:, one.start : one.reach], one.mask)
                for one in chunk.pasts
            ]
            return packed_attention.after_prefixes(query, reached, own)
        return packed_attention.causal(query, *_one_after_another(*seen, own))

    def _of_short(self, layer: int, query: torch.Tensor, short: DecodeRows) -> torch.Tensor:
        (shared_keys, keys), (shared_values, values) = self._both(layer)
        tokens, heads, size = query.shape
        asked = packed_attention.group_by_key_head(query, self._key_heads)[None]
        whole = [
            packed_attention.attend_all(
                asked[:, :, here],
                shared_keys[None, :, past.start : past.reach],
                shared_values[None, :, past.start : past.reach],
                past.mask,
            )
            for here, past in short.groups
        ]
        own = [
            packed_attention.attend_all(
                asked[:, :, one.queries],
                keys[one.slot : one.slot + 1, :, : one.reach],
                values[one.slot : one.slot + 1, :, : one.reach],
                one.mask,
            )
            for one in short.own
        ]
        found = packed_attention.merged(*_in_a_row(whole), *_in_a_row(own))
        each = heads // self._key_heads
        return found.view(tokens, each, self._key_heads, size).transpose(1, 2).reshape(tokens, heads, size)

    def _pair(self, tokens: int, slots: int | None = None) -> Caches:
        """Of zeros: what was never written must not be infinite or not a number."""
        one = (self._key_heads, tokens, self._size)
        shape = one if slots is None else (slots, *one)
        keys, values = (torch.zeros(shape, dtype=torch.bfloat16, device=self._device) for _ in range(2))
        return keys, values


class _Room(NamedTuple):
    """Of the cache, in tokens and slots."""

    shared: int
    slots: int
    slot_tokens: int

    @property
    def tokens(self) -> int:
        return self.shared + self.slots * self.slot_tokens


def _one_after_another(*pairs: Iterable[torch.Tensor]) -> Caches:
    """Keys and values, each [key heads, tokens, size]."""
    keys, values = (torch.cat(parts, dim=1) for parts in zip(*pairs, strict=True))
    return keys, values


def _in_a_row(found: Iterable[Caches]) -> Caches:
    """Attentions and their weights' sums, by query: [queries, key heads, size] and [queries, key heads]."""
    attended, sums = zip(*found, strict=True)
    return (
        torch.cat([one[0].transpose(0, 1) for one in attended]),
        torch.cat([one[0].transpose(0, 1) for one in sums]),
    )


def _store(store: KvWrite, shared: torch.Tensor, own: torch.Tensor, new: torch.Tensor) -> None:
    for here, start in store.shared:
        shared[:, start : start + here.stop - here.start] = new[here].transpose(0, 1)
    if store.slots is not None:
        own[store.slots, :, store.slot_positions] = new if store.index is None else new[store.index]
