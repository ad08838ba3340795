"""Near-duplicate texts: a hash of the words, and MinHash of their runs of five words (Broder 1997).

130 permutations, 26 bands of 5 rows to find candidates, in numpy.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict

import numpy as np

from training.data.shingles import Runs, shingles

THRESHOLD = 0.8
"""Jaccard similarity of word runs from which two texts count as the same."""
_RUN_WORDS = 5
_BANDS, _ROWS = 26, 5
_PIECE = 512
"""Runs hashed at a time: 130 x 512 products are half a MiB."""


def exact_key(text: str) -> str:
    """A key that ignores case, white space and punctuation."""
    return hashlib.sha256(" ".join(re.findall(r"\w+", text.casefold())).encode()).hexdigest()


class NearIndex:
    """The texts seen so far; finds one that a new text nearly equals."""

    def __init__(self, *, seed: int = 1) -> None:
        chance = np.random.default_rng(seed)
        # Odd factors of 64 bits: the products wrap round many times, so that each order is another. Factors
        # small enough never to wrap kept the runs nearly in one order, and one changed word was missed.
        self._factors = chance.integers(0, 1 << 63, size=_BANDS * _ROWS, dtype=np.uint64) * 2 + 1
        self._shifts = chance.integers(0, 1 << 63, size=_BANDS * _ROWS, dtype=np.uint64)
        self._bands: dict[tuple[int, bytes], list[int]] = defaultdict(list)
        self._runs: list[Runs] = []

    def add(self, text: str) -> bool:
        """True where the text is new, which is then kept; False where it nearly equals a kept one."""
        runs = shingles(text, _RUN_WORDS)
        keys = self._keys(runs)
        candidates = {place for key in keys for place in self._bands.get(key, ())}
        if any(_similarity(runs, self._runs[place]) >= THRESHOLD for place in candidates):
            return False
        for key in keys:
            self._bands[key].append(len(self._runs))
        self._runs.append(runs)
        return True

    def _keys(self, runs: Runs) -> list[tuple[int, bytes]]:
        least = np.full(_BANDS * _ROWS, np.iinfo(np.uint64).max, dtype=np.uint64)
        for start in range(0, len(runs), _PIECE):
            values = runs[start : start + _PIECE]
            hashed = values[:, None] * self._factors + self._shifts
            np.minimum(least, hashed.min(axis=0), out=least)
        return [(band, least[band * _ROWS : (band + 1) * _ROWS].tobytes()) for band in range(_BANDS)]


def _similarity(one: Runs, other: Runs) -> float:
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)
