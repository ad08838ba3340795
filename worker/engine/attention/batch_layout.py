"""Where a step's tokens and the keys that they see lie, in one packed sequence and in the caches.

What attention and the caches are told of a step; worker.engine.attention.batch_packing makes it. Knows no pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from worker.engine.batching.sequences import UNALLOCATED
from worker.engine.memory.footprint import KEY_BLOCK, rounded_up

CHUNK_COLUMNS = 6
"""Of a piece for worker.engine.attention.decode_kernel: its first packed token and how many it has; its beginning's start and
stop; its slot, and how many tokens of its own come before."""


@dataclass(frozen=True, slots=True)
class PrefixSegment:
    """Where a beginning lies in the shared cache: [start, stop); what attends to it reaches further."""

    start: int
    stop: int
    reach: int
    """On a CPU a whole number of blocks of keys from the start, else `stop`."""
    mask: torch.Tensor | None
    """[1, 1, 1, reach - start], to be added: minus infinity from `stop` on; none where nothing is there."""

    @staticmethod
    def of(start: int, stop: int, device: torch.device) -> PrefixSegment:
        together = KEY_BLOCK if device.type == "cpu" else 1
        reach = start + rounded_up(stop - start, together)
        if reach == stop:
            return PrefixSegment(start, stop, reach, None)
        mask = torch.zeros((1, 1, 1, reach - start), dtype=torch.bfloat16)
        mask[..., stop - start :] = float("-inf")
        return PrefixSegment(start, stop, reach, mask)


@dataclass(frozen=True, slots=True)
class PrefillChunk:
    """One piece over its beginnings' keys, its slot's first and its own; or several questions on one
    beginning, over that and each over its own."""

    here: slice
    """Its tokens among the packed ones."""
    pasts: tuple[PrefixSegment, ...]
    """For a beginning one, up to and with its own tokens: it lies in the shared cache itself. For what
    follows a question that is read apart two, the document's and that one's."""
    is_beginning: bool
    slot: int = UNALLOCATED
    slot_tokens: int = 0
    """Tokens of its own that are in its slot from earlier steps."""
    mask: torch.Tensor | None = None
    """Of questions: [tokens x query heads that share a key head, tokens], to be added: minus infinity where
    a token is another question's or comes later. Only on a CPU without AMX, see `worker.engine.attention.batch_packing`."""


@dataclass(frozen=True, slots=True)
class KvWrite:
    """Where packed tokens' keys and values are kept: whole runs, and single tokens by index."""

    shared: tuple[tuple[slice, int], ...]
    """Tokens of beginnings, and the place in the shared cache where each run of them starts."""
    index: torch.Tensor | None
    """Packed tokens of branches that write, where they are not all; their slots and places in them."""
    slots: torch.Tensor | None
    slot_positions: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class OwnSegment:
    """A branch's own keys, and which of the short pieces' queries attend to them."""

    queries: slice
    """As by_key_head lays them out: each token's query heads that share a key head, one after another."""
    slot: int
    reach: int
    """As far as its newest token; on a CPU a whole number of blocks of keys."""
    mask: torch.Tensor | None
    """[1, 1, queries, reach], to be added: minus infinity where a key comes after its query."""


@dataclass(frozen=True, slots=True)
class DecodeRows:
    """The pieces that write: over their beginnings by group, over their own each by itself."""

    index: torch.Tensor
    """[tokens]: which packed tokens they are, those of one beginning after another."""
    groups: tuple[tuple[slice, PrefixSegment], ...]
    """For each beginning its queries, as those of `own`."""
    own: tuple[OwnSegment, ...]


@dataclass(frozen=True, slots=True)
class BatchLayout:
    """A step's geometry."""

    long: tuple[PrefillChunk, ...]
    short: DecodeRows | None
    """Those of a few tokens; with AMX those of questions as well."""
    store: KvWrite
    listed: torch.Tensor | None = None
    """[pieces, PIECE_COLUMNS]: those of a few tokens, where one kernel attends to them all."""
    wanted: torch.Tensor | None = None
    """The packed tokens for which the last layer is computed to its end; none: all."""
