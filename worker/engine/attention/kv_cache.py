"""KV cache: keys and values of prefixes in one shared cache, of continuations that generate in slots of
another.

Continuations attend to their prefix in the shared cache without a copy. The batch layout says where
everything lies; does not import the scheduler.
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
"""Growing copies the whole cache, so it grows by several slots at a time."""
_MIN_ROUNDING = KEY_BLOCK
"""Rounding when there is no memory to spare."""


class KvCache:
    """Keys and values in bf16: two tensors a layer.

    Shared cache: [key heads, tokens, size]. Slots: [slots, key heads, tokens, size].
    """

    def __init__(
        self, *, num_layers: int, key_heads: int, size: int, device: torch.device, max_tokens: int
    ) -> None:
        """`max_tokens`: limit for both together, unless a batch needs more."""
        self._num_layers = num_layers
        self._key_heads = key_heads
        self._size = size
        self._device = device
        self._max_tokens = max_tokens
        self.generation = 0
        """Changes whenever keys and values move to other addresses."""
        self.clear()

    def clear(self) -> None:
        """Drops everything and frees the memory."""
        self.generation += 1
        self._shared = [self._zeros(0) for _ in range(self._num_layers)]
        self._own = [self._zeros(0, slots=0) for _ in range(self._num_layers)]

    @property
    def num_tokens(self) -> int:
        """Tokens for which memory is allocated, used or not."""
        slots, _, tokens, _ = self._own[0][0].shape
        return int(self._shared[0][0].shape[1] + slots * tokens)

    def make_room(self, *, shared_tokens: int, num_slots: int, slot_tokens: int) -> None:
        """Grows the caches and keeps their content. If that would exceed `max_tokens`, resizes them to
        exactly the requested size: what lies beyond is no longer needed."""
        num_shared = self._shared[0][0].shape[1]
        num_cached_slots, _, num_slot_tokens, _ = self._own[0][0].shape
        if shared_tokens <= num_shared and num_slots <= num_cached_slots and slot_tokens <= num_slot_tokens:
            return
        preferred = _CacheSize(
            num_shared
            if shared_tokens <= num_shared
            else rounded_up(max(shared_tokens, num_shared * 3 // 2), _SHARED_ROUNDING),
            max(rounded_up(num_slots, _SLOTS_ROUNDING), num_cached_slots),
            max(rounded_up(slot_tokens, _SLOT_ROUNDING), num_slot_tokens),
        )
        minimal = _CacheSize(
            rounded_up(shared_tokens, _MIN_ROUNDING), num_slots, rounded_up(slot_tokens, _MIN_ROUNDING)
        )
        room = preferred if preferred.tokens <= self._max_tokens else minimal
        self._resize(self._shared, room.shared)
        self._resize(self._own, room.slot_tokens, room.slots)

    def _resize(self, layers: list[Caches], tokens: int, slots: int | None = None) -> None:
        """Resizes layer by layer, so that only one layer is in memory twice."""
        for number, (keys, values) in enumerate(layers):
            if keys.shape[-2] == tokens and slots in (None, keys.shape[0]):
                return
            grown = self._zeros(tokens, slots=slots)
            common = tuple(slice(0, min(pair)) for pair in zip(keys.shape, grown[0].shape, strict=True))
            for new, old in zip(grown, (keys, values), strict=True):
                new[common] = old[common]
            layers[number] = grown
        self.generation += 1

    def copy(self, copies: Iterable[CacheCopy]) -> None:
        """Copies tokens within the shared cache, in order."""
        for copy in copies:
            source = slice(copy.source, copy.source + copy.num_tokens)
            target = slice(copy.target, copy.target + copy.num_tokens)
            for tensor in (tensor for pair in self._shared for tensor in pair):
                tensor[:, target] = tensor[:, source]

    def store(self, layer: int, key: torch.Tensor, value: torch.Tensor, layout: BatchLayout) -> None:
        """Stores keys and values of the packed tokens by the layout; both: [tokens, key heads, size]."""
        for stored, new in zip(self._keys_then_values(layer), (key, value), strict=True):
            _write(layout.kv_write, *stored, new)

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: BatchLayout
    ) -> torch.Tensor:
        """Attention of all chunks of the layout over the stored keys and values.

        query: [tokens, heads, size]; key, value: [tokens, key heads, size]. Returns [tokens, heads, size].
        """
        out = torch.empty_like(query)
        is_last = layer == self._num_layers - 1
        for chunk in layout.prefill:
            if chunk.is_prefix and is_last and layout.output_index is not None:
                continue  # continuations need its keys and values, and nobody needs its output
            out[chunk.tokens] = self._attend_chunk(
                layer, query[chunk.tokens], key[chunk.tokens], value[chunk.tokens], chunk
            )
        if layout.decode_rows is not None:
            out[layout.decode_rows.token_index] = self._attend_decode_rows(
                layer, query[layout.decode_rows.token_index], layout.decode_rows
            )
        if layout.kernel_rows is not None:
            from worker.engine.attention import decode_kernel

            decode_kernel.attend(query, self._shared[layer], self._own[layer], layout.kernel_rows, out)
        return out

    def _keys_then_values(self, layer: int) -> tuple[Caches, Caches]:
        """The shared cache and the slots of the layer: first of keys, then of values."""
        (shared_keys, shared_values), (keys, values) = self._shared[layer], self._own[layer]
        return (shared_keys, keys), (shared_values, values)

    def _attend_chunk(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, chunk: PrefillChunk
    ) -> torch.Tensor:
        keys, values = self._shared[layer]
        prefix_keys_values = [
            (keys[:, segment.start : segment.stop], values[:, segment.start : segment.stop])
            for segment in chunk.prefix_segments
        ]
        if chunk.is_prefix:
            return packed_attention.causal(query, *prefix_keys_values[0])
        own = (key.transpose(0, 1), value.transpose(0, 1))
        if chunk.slot_tokens:
            kept = (tensor[chunk.slot, :, : chunk.slot_tokens] for tensor in self._own[layer])
            own = _concatenated(kept, own)
        if chunk.mask is not None:
            return packed_attention.masked_together(
                query, *_concatenated(*prefix_keys_values, own), chunk.mask
            )
        if packed_attention.is_fused_faster(self._device):
            padded = [
                (
                    keys[:, segment.start : segment.padded_stop],
                    values[:, segment.start : segment.padded_stop],
                    segment.mask,
                )
                for segment in chunk.prefix_segments
            ]
            return packed_attention.after_prefixes(query, padded, own)
        return packed_attention.causal(query, *_concatenated(*prefix_keys_values, own))

    def _attend_decode_rows(self, layer: int, query: torch.Tensor, rows: DecodeRows) -> torch.Tensor:
        (shared_keys, keys), (shared_values, values) = self._keys_then_values(layer)
        tokens, heads, size = query.shape
        grouped = packed_attention.group_by_key_head(query, self._key_heads)[None]
        over_prefixes = [
            packed_attention.attend_all(
                grouped[:, :, queries],
                shared_keys[None, :, segment.start : segment.padded_stop],
                shared_values[None, :, segment.start : segment.padded_stop],
                segment.mask,
            )
            for queries, segment in rows.prefix_groups
        ]
        own = [
            packed_attention.attend_all(
                grouped[:, :, segment.queries],
                keys[segment.slot : segment.slot + 1, :, : segment.padded_stop],
                values[segment.slot : segment.slot + 1, :, : segment.padded_stop],
                segment.mask,
            )
            for segment in rows.own_segments
        ]
        merged = packed_attention.merged(*_concatenated_rows(over_prefixes), *_concatenated_rows(own))
        num_grouped = heads // self._key_heads
        return (
            merged.view(tokens, num_grouped, self._key_heads, size)
            .transpose(1, 2)
            .reshape(tokens, heads, size)
        )

    def _zeros(self, tokens: int, slots: int | None = None) -> Caches:
        """Zeros, because entries that were never written must not be infinite or NaN."""
        row = (self._key_heads, tokens, self._size)
        shape = row if slots is None else (slots, *row)
        keys, values = (torch.zeros(shape, dtype=torch.bfloat16, device=self._device) for _ in range(2))
        return keys, values


class _CacheSize(NamedTuple):
    """Size of the caches."""

    shared: int
    slots: int
    slot_tokens: int

    @property
    def tokens(self) -> int:
        return self.shared + self.slots * self.slot_tokens


def _concatenated(*pairs: Iterable[torch.Tensor]) -> Caches:
    """Concatenates pairs of keys and values, each [key heads, tokens, size], along the tokens."""
    keys, values = (torch.cat(parts, dim=1) for parts in zip(*pairs, strict=True))
    return keys, values


def _concatenated_rows(results: Iterable[Caches]) -> Caches:
    """Concatenates outputs and log-sums of weights by query: [queries, key heads, size], [queries, key
    heads]."""
    attended, sums = zip(*results, strict=True)
    return (
        torch.cat([tensor[0].transpose(0, 1) for tensor in attended]),
        torch.cat([tensor[0].transpose(0, 1) for tensor in sums]),
    )


def _write(write: KvWrite, shared: torch.Tensor, own: torch.Tensor, new: torch.Tensor) -> None:
    for tokens, start in write.prefix_runs:
        shared[:, start : start + tokens.stop - tokens.start] = new[tokens].transpose(0, 1)
    if write.slots is not None:
        own[write.slots, :, write.slot_positions] = (
            new if write.token_index is None else new[write.token_index]
        )
