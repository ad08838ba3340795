"""The fault interface: a function that acts on the test bed and returns how to undo itself, if it can."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from resilience.chaos.test_bed import ChaosTestBed

Undo = Callable[[], None]


class FaultNotPossibleError(Exception):
    """The fault is not possible at the moment."""


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """A fault that lasts `seconds` and is then undone."""

    seconds: float
    undo: Undo


Fault = Callable[[ChaosTestBed, random.Random], ActiveFault | None]
FaultTable = Mapping[str, tuple[Fault, int]]
"""Faults by name, each with its number in a deck."""


@dataclass
class FaultDeck:
    """Faults in random order. A deck is used up before the next is shuffled, so that every fault occurs."""

    kinds: FaultTable
    rng: random.Random
    _names: list[str] = field(default_factory=list)

    def strike(self, bed: ChaosTestBed) -> tuple[str, ActiveFault | None] | None:
        """Injects the first possible fault of the deck; returns its name and how to undo it, or None."""
        if not self._names:
            self._names = [name for name, (_, count) in self.kinds.items() for _ in range(count)]
            self.rng.shuffle(self._names)
        for name in list(self._names):
            try:
                active = self.kinds[name][0](bed, self.rng)
            except FaultNotPossibleError:
                continue
            self._names.remove(name)
            return name, active
        self._names.clear()
        return None
