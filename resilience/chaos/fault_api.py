"""What a fault is: a function that strikes the stage and returns what takes it back, if anything does."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from resilience.chaos.test_bed import ChaosTestBed

Undo = Callable[[], None]


class FaultNotPossibleError(Exception):
    """This fault cannot strike at the moment."""


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """A fault that lasts: after so many seconds it is taken back."""

    seconds: float
    undo: Undo


Fault = Callable[[ChaosTestBed, random.Random], ActiveFault | None]
FaultTable = Mapping[str, tuple[Fault, int]]
"""By name the fault, and how often it comes in a deck."""


@dataclass
class FaultDeck:
    """Faults in a drawn order; all of a deck come before the next is shuffled, so that none is left out."""

    kinds: FaultTable
    draw: random.Random
    _names: list[str] = field(default_factory=list)

    def strike(self, stage: ChaosTestBed) -> tuple[str, ActiveFault | None] | None:
        """The first fault of the deck that can strike now, and what takes it back; none where none can."""
        if not self._names:
            self._names = [name for name, (_, often) in self.kinds.items() for _ in range(often)]
            self.draw.shuffle(self._names)
        for name in list(self._names):
            try:
                struck = self.kinds[name][0](stage, self.draw)
            except FaultNotPossibleError:
                continue
            self._names.remove(name)
            return name, struck
        self._names.clear()
        return None
