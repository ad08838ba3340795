"""How the segments of a step lie in one packed sequence and in the cache; what each may attend to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from worker.scheduling import Segment


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment's place in the packed tokens and in the cache."""

    offset: int
    slot: int
    start: int
    stop: int
    mask: torch.Tensor | None
    """Shape [tokens, stop]; none where the piece begins its row and plain causality holds."""

    @property
    def num_tokens(self) -> int:
        return self.stop - self.start

    @property
    def is_single(self) -> bool:
        return self.num_tokens == 1


@dataclass(frozen=True, slots=True)
class Plan:
    """A step's geometry, made once and used by every layer. Single tokens are attended side by side."""

    pieces: tuple[Piece, ...]
    single_offsets: torch.Tensor | None
    single_slots: torch.Tensor | None
    single_mask: torch.Tensor | None
    num_slots: int
    longest: int

    @staticmethod
    def of(segments: Sequence[Segment], device: torch.device) -> Plan:
        pieces, offset = [], 0
        for segment in segments:
            pieces.append(_piece_of(segment, offset, device))
            offset += segment.num_tokens
        single = [piece for piece in pieces if piece.is_single]
        if not single:
            return Plan(tuple(pieces), None, None, None, 0, 0)
        num_slots = max(piece.slot for piece in single) + 1
        longest = max(piece.stop for piece in single)
        reach = torch.ones(num_slots, dtype=torch.long)
        for piece in single:
            reach[piece.slot] = piece.stop
        mask = (torch.arange(longest)[None, :] < reach[:, None])[:, None, None, :]
        return Plan(
            tuple(pieces),
            torch.tensor([piece.offset for piece in single], device=device),
            torch.tensor([piece.slot for piece in single], device=device),
            mask.to(device),
            num_slots,
            longest,
        )


def _piece_of(segment: Segment, offset: int, device: torch.device) -> Piece:
    start, stop = segment.start, segment.stop
    mask = None
    if start > 0 and stop - start > 1:
        mask = torch.ones((stop - start, stop), dtype=torch.bool, device=device).tril(start)
    return Piece(offset, segment.row.slot, start, stop, mask)


def by_columns(segments: Sequence[Segment]) -> dict[tuple[int, ...], list[tuple[int, list[int]]]]:
    """By asked columns: indexes of segments, and the places in the packed tokens of what each wants."""
    groups: dict[tuple[int, ...], list[tuple[int, list[int]]]] = {}
    offset = 0
    for index, segment in enumerate(segments):
        wanted = [place for place in segment.row.wanted if segment.start <= place < segment.stop]
        inside = [offset + place - segment.start for place in wanted]
        groups.setdefault(segment.row.columns, []).append((index, inside))
        offset += segment.num_tokens
    return groups
