"""Finds duplicate texts by a hash of their words, and near-duplicates by MinHash of runs of five words.

MinHash (Broder 1997) with 130 permutations; locality-sensitive hashing with 26 bands of 5 rows finds the
candidates.
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
_CHUNK_RUNS = 512
"""Runs hashed at a time: 130 x 512 products are half a MiB."""


def exact_key(text: str) -> str:
    """A key that ignores case, white space and punctuation."""
    return hashlib.sha256(" ".join(re.findall(r"\w+", text.casefold())).encode()).hexdigest()


class NearIndex:
    """An index of the texts seen so far, to find near-duplicates of a new one."""

    def __init__(self, *, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        # Odd factors of 64 bits: the products overflow many times, so that each permutation is another. Small
        # factors, without overflow, kept the runs nearly in one order, and one changed word was missed.
        self._factors = rng.integers(0, 1 << 63, size=_BANDS * _ROWS, dtype=np.uint64) * 2 + 1
        self._shifts = rng.integers(0, 1 << 63, size=_BANDS * _ROWS, dtype=np.uint64)
        self._bands: dict[tuple[int, bytes], list[int]] = defaultdict(list)
        self._runs: list[Runs] = []

    def add(self, text: str) -> bool:
        """Adds a new text and returns True; returns False if it is a near-duplicate of an added one."""
        runs = shingles(text, _RUN_WORDS)
        keys = self._keys(runs)
        candidates = {text_number for key in keys for text_number in self._bands.get(key, ())}
        if any(_similarity(runs, self._runs[text_number]) >= THRESHOLD for text_number in candidates):
            return False
        for key in keys:
            self._bands[key].append(len(self._runs))
        self._runs.append(runs)
        return True

    def _keys(self, runs: Runs) -> list[tuple[int, bytes]]:
        least = np.full(_BANDS * _ROWS, np.iinfo(np.uint64).max, dtype=np.uint64)
        for start in range(0, len(runs), _CHUNK_RUNS):
            values = runs[start : start + _CHUNK_RUNS]
            hashed = values[:, None] * self._factors + self._shifts
            np.minimum(least, hashed.min(axis=0), out=least)
        return [(band, least[band * _ROWS : (band + 1) * _ROWS].tobytes()) for band in range(_BANDS)]


def _similarity(first: Runs, second: Runs) -> float:
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)
