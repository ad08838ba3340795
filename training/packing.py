"""Pieces packed into rows of at most so many tokens, each attending to itself only. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from training.pieces import Piece, Right


@dataclass(slots=True)
class Row:
    """Pieces one after the other; places are indexes into the row."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    """Of each token in its own piece."""
    segments: list[slice] = field(default_factory=list)
    """Where each piece lies."""
    rights: list[tuple[str, Right]] = field(default_factory=list)
    """With the kind of their piece."""
    answers: list[tuple[str, list[int]]] = field(default_factory=list)

    @property
    def parts(self) -> int:
        return len(self.rights) + len(self.answers)

    def add(self, piece: Piece) -> None:
        """At the row's end."""
        first = len(self.tokens)
        self.tokens += piece.tokens
        self.positions += range(len(piece.tokens))
        self.segments.append(slice(first, len(self.tokens)))
        for right in piece.rights:
            moved = Right([first + place for place in right.places], right.word_tokens, right.is_right)
            self.rights.append((piece.kind, moved))
        if piece.answers:
            self.answers.append((piece.kind, [first + place for place in piece.answers]))


def rows_of(pieces: Iterable[Piece], length: int) -> list[Row]:
    """In the order given, each row closed when the next piece does not fit; longer pieces are left out."""
    rows: list[Row] = []
    for piece in pieces:
        if len(piece.tokens) > length:
            continue
        if not rows or len(rows[-1].tokens) + len(piece.tokens) > length:
            rows.append(Row())
        rows[-1].add(piece)
    return rows


def steps_of(rows: list[Row], rows_a_step: int) -> list[list[Row]]:
    """Runs of rows whose gradients are added up."""
    return [rows[start : start + rows_a_step] for start in range(0, len(rows), rows_a_step)]
