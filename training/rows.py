"""Training sequences packed into rows of one length, without one seeing another. No torch.

Questions on one document share its beginning, as the engine shares it; other documents follow in the
same row. One length for all rows: a new shape costs a CPU more than what padding wastes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from training.targets import Right, Target


@dataclass(frozen=True, slots=True)
class Packed:
    """A document in a row: where its beginning lies, and each branch that sees it."""

    beginning: slice
    branches: tuple[slice, ...]


@dataclass(slots=True)
class Row:
    """Documents one after the other: a beginning, its branches, the next beginning, …"""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    """Of each token in its own sequence: a branch goes on where the beginning ended."""
    documents: list[Packed] = field(default_factory=list)
    rights: list[Right] = field(default_factory=list)
    """With places in the row."""

    def add(self, targets: Sequence[Target]) -> None:
        """A document and its questions."""
        beginning = self._append(targets[0].beginning, 0)
        branches = []
        for target in targets:
            branch = self._append(target.branch, len(target.beginning))
            branches.append(branch)
            self.rights += [
                Right([branch.start + place for place in right.places], right.word_tokens, right.is_right)
                for right in target.rights
            ]
        self.documents.append(Packed(beginning, tuple(branches)))

    def _append(self, tokens: Sequence[int], position: int) -> slice:
        first = len(self.tokens)
        self.tokens += tokens
        self.positions += range(position, position + len(tokens))
        return slice(first, len(self.tokens))


def cost(targets: Sequence[Target]) -> int:
    """Tokens that a document with these questions takes."""
    return len(targets[0].beginning) + sum(len(target.branch) for target in targets)


def rows_of(documents: Iterable[Sequence[Target]], length: int) -> list[Row]:
    """Rows of at most `length` tokens, filled in the order given; what is longer alone is left out."""
    rows: list[Row] = []
    for targets in documents:
        if cost(targets) > length:
            continue
        if not rows or len(rows[-1].tokens) + cost(targets) > length:
            rows.append(Row())
        rows[-1].add(targets)
    return rows
