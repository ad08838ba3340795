"""Pieces packed into rows of at most so many tokens, none seeing another. No torch.

Questions on one document share its beginning in a row, as the engine shares it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from training.examples.training_sequences import ChoiceTarget, TrainingSequence


@dataclass(frozen=True, slots=True)
class Packed:
    """A document in a row: where its beginning lies, empty if nothing is shared, and what sees it."""

    beginning: slice
    branches: tuple[slice, ...]


@dataclass(slots=True)
class Row:
    """Documents one after the other, each its beginning and then its branches; places index the row."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    """Of each token in its own piece: a branch goes on where the beginning ended."""
    documents: list[Packed] = field(default_factory=list)
    rights: list[tuple[str, ChoiceTarget]] = field(default_factory=list)
    """With the kind of their piece."""
    answers: list[tuple[str, list[int]]] = field(default_factory=list)

    @property
    def parts(self) -> int:
        return len(self.rights) + len(self.answers)

    def cost(self, piece: TrainingSequence) -> int:
        """Tokens that it takes here."""
        return len(piece.tokens) - (piece.shared_tokens if self._has_beginning(piece) else 0)

    def add(self, piece: TrainingSequence) -> None:
        """At the row's end; beside the last one where both ask of the same document."""
        shared = piece.shared_tokens
        if not self._has_beginning(piece):
            self.documents.append(Packed(self._append(piece.tokens[:shared], 0), ()))
        branch = self._append(piece.tokens[shared:], shared)
        last = self.documents[-1]
        self.documents[-1] = Packed(last.beginning, (*last.branches, branch))
        moved = branch.start - shared
        for right in piece.rights:
            places = [moved + place for place in right.places]
            self.rights.append((piece.kind, ChoiceTarget(places, right.word_tokens, right.is_right)))
        if piece.answers:
            self.answers.append((piece.kind, [moved + place for place in piece.answers]))

    def _has_beginning(self, piece: TrainingSequence) -> bool:
        if not piece.shared_tokens or not self.documents:
            return False
        return self.tokens[self.documents[-1].beginning] == list(piece.tokens[: piece.shared_tokens])

    def _append(self, tokens: Sequence[int], position: int) -> slice:
        first = len(self.tokens)
        self.tokens += tokens
        self.positions += range(position, position + len(tokens))
        return slice(first, len(self.tokens))


def rows_of(pieces: Iterable[TrainingSequence], length: int) -> list[Row]:
    """In the order given, each row closed when the next piece does not fit; longer pieces are left out."""
    rows: list[Row] = []
    for piece in pieces:
        if len(piece.tokens) > length:
            continue
        if not rows or len(rows[-1].tokens) + rows[-1].cost(piece) > length:
            rows.append(Row())
        rows[-1].add(piece)
    return rows


def runs_of(rows: Sequence[Row], length: int) -> list[Sequence[Row]]:
    """So many rows each, in their order; the last run may have fewer."""
    return [rows[start : start + length] for start in range(0, len(rows), length)]
