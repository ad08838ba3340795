"""Packs training sequences into rows of a maximum length; attention stays inside each sequence.

Questions on the same document share its prefix in a row, as in the engine's prefix cache. Does not import
torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from training.examples.training_sequences import ChoiceTarget, TrainingSequence


@dataclass(frozen=True, slots=True)
class PackedDocument:
    """A document in a row: the slice of its shared prefix, maybe empty, and those of its continuations."""

    prefix: slice
    continuations: tuple[slice, ...]


@dataclass(slots=True)
class Row:
    """Documents one after the other, each a prefix and its continuations; target positions index the row."""

    tokens: list[int] = field(default_factory=list)
    position_ids: list[int] = field(default_factory=list)
    """Position of each token in its own sequence: a continuation counts on from the end of the prefix."""
    documents: list[PackedDocument] = field(default_factory=list)
    choice_targets: list[tuple[str, ChoiceTarget]] = field(default_factory=list)
    """Each with the kind of its sequence."""
    answers: list[tuple[str, list[int]]] = field(default_factory=list)

    @property
    def num_targets(self) -> int:
        return len(self.choice_targets) + len(self.answers)

    def cost(self, sequence: TrainingSequence) -> int:
        """Number of tokens that the sequence would add to this row."""
        return len(sequence.tokens) - (sequence.shared_tokens if self._shares_prefix(sequence) else 0)

    def add(self, sequence: TrainingSequence) -> None:
        """Appends a sequence; reuses the last document's prefix if both are about the same document."""
        shared = sequence.shared_tokens
        if not self._shares_prefix(sequence):
            self.documents.append(PackedDocument(self._append(sequence.tokens[:shared], 0), ()))
        continuation = self._append(sequence.tokens[shared:], shared)
        last = self.documents[-1]
        self.documents[-1] = PackedDocument(last.prefix, (*last.continuations, continuation))
        offset = continuation.start - shared
        for target in sequence.choice_targets:
            positions = [offset + position for position in target.positions]
            self.choice_targets.append(
                (sequence.kind, ChoiceTarget(positions, target.word_tokens, target.is_right))
            )
        if sequence.answers:
            self.answers.append((sequence.kind, [offset + position for position in sequence.answers]))

    def _shares_prefix(self, sequence: TrainingSequence) -> bool:
        if not sequence.shared_tokens or not self.documents:
            return False
        return self.tokens[self.documents[-1].prefix] == list(sequence.tokens[: sequence.shared_tokens])

    def _append(self, tokens: Sequence[int], position: int) -> slice:
        first = len(self.tokens)
        self.tokens += tokens
        self.position_ids += range(position, position + len(tokens))
        return slice(first, len(self.tokens))


def packed_rows(sequences: Iterable[TrainingSequence], length: int) -> list[Row]:
    """Packs sequences in order; starts a row when the next one does not fit. Leaves out longer sequences."""
    rows: list[Row] = []
    for sequence in sequences:
        if len(sequence.tokens) > length:
            continue
        if not rows or len(rows[-1].tokens) + rows[-1].cost(sequence) > length:
            rows.append(Row())
        rows[-1].add(sequence)
    return rows


def row_groups(rows: Sequence[Row], length: int) -> list[Sequence[Row]]:
    """Consecutive groups of `length` rows; the last group may have fewer."""
    return [rows[start : start + length] for start in range(0, len(rows), length)]
