"""Packed batch layout: where the tokens of a batch and the keys that they attend to lie, packed and in the
caches.

Made by `worker.engine.attention.batch_packing`, read by attention and the KV cache. Does not know scheduled
chunks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from worker.engine.batching.sequences import UNALLOCATED
from worker.engine.memory.footprint import KEY_BLOCK, rounded_up

CHUNK_COLUMNS = 6
"""Numbers of a chunk for `worker.engine.attention.decode_kernel`: its first packed token and number of
tokens; start and stop of its prefix; its slot and the number of its own tokens before."""


@dataclass(frozen=True, slots=True)
class PrefixSegment:
    """A prefix in the shared cache: [start, stop), padded for attention."""

    start: int
    stop: int
    padded_stop: int
    """On a CPU `stop` rounded up to whole blocks of keys from the start, otherwise `stop`."""
    mask: torch.Tensor | None
    """[1, 1, 1, padded_stop - start], to be added: minus infinity from `stop` on; None without padding."""

    @staticmethod
    def of(start: int, stop: int, device: torch.device) -> PrefixSegment:
        block = KEY_BLOCK if device.type == "cpu" else 1
        padded_stop = start + rounded_up(stop - start, block)
        if padded_stop == stop:
            return PrefixSegment(start, stop, padded_stop, None)
        mask = torch.zeros((1, 1, 1, padded_stop - start), dtype=torch.bfloat16)
        mask[..., stop - start :] = float("-inf")
        return PrefixSegment(start, stop, padded_stop, mask)


@dataclass(frozen=True, slots=True)
class PrefillChunk:
    """A chunk that attends to its prefixes, its slot and itself; or several questions that attend to one
    prefix and each to itself."""

    tokens: slice
    """Slice of the packed tokens."""
    prefix_segments: tuple[PrefixSegment, ...]
    """For a prefix one segment, up to its own tokens, which lie in the shared cache. For a continuation of a
    cached question two, the document's and the question's."""
    is_prefix: bool
    slot: int = UNALLOCATED
    slot_tokens: int = 0
    """Own tokens that are in its slot from earlier batches."""
    mask: torch.Tensor | None = None
    """Several questions: [tokens x query heads that share a key head, tokens], to be added: minus infinity if
    a token belongs to another question or comes later. Only on a CPU without AMX."""


@dataclass(frozen=True, slots=True)
class KvWrite:
    """Destination of the keys and values of packed tokens: runs in the shared cache, single tokens in
    slots."""

    prefix_runs: tuple[tuple[slice, int], ...]
    """Slices of packed tokens of prefixes, each with its start in the shared cache."""
    token_index: torch.Tensor | None
    """Packed tokens of continuations that generate; None with `slots` set: all."""
    slots: torch.Tensor | None
    """Their slots; None if there are no such tokens."""
    slot_positions: torch.Tensor | None
    """Their positions within the slots."""


@dataclass(frozen=True, slots=True)
class OwnSegment:
    """The own keys of a continuation that decodes, and the queries that attend to them."""

    queries: slice
    """Slice of the queries in the order of `packed_attention.group_by_key_head`."""
    slot: int
    padded_stop: int
    """End of its newest token; on a CPU rounded up to whole blocks of keys."""
    mask: torch.Tensor | None
    """[1, 1, queries, padded_stop], to be added: minus infinity if a key comes after its query."""


@dataclass(frozen=True, slots=True)
class DecodeRows:
    """Chunks that decode: they attend to their prefixes by group, and each to its own keys."""

    token_index: torch.Tensor
    """[tokens]: indexes of the packed tokens, grouped by prefix."""
    prefix_groups: tuple[tuple[slice, PrefixSegment], ...]
    """For each prefix the slice of its queries, as in `OwnSegment`, and its segment."""
    own_segments: tuple[OwnSegment, ...]


@dataclass(frozen=True, slots=True)
class BatchLayout:
    """The layout of one batch."""

    prefill: tuple[PrefillChunk, ...]
    decode_rows: DecodeRows | None
    """Chunks of few tokens; with AMX also short questions."""
    kv_write: KvWrite
    kernel_rows: torch.Tensor | None = None
    """[chunks, CHUNK_COLUMNS]: chunks of few tokens when one kernel computes them all."""
    output_index: torch.Tensor | None = None
    """Packed tokens for which the last layer is computed to its end; None: all."""
