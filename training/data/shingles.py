"""Shingles: runs of consecutive words as 64-bit hashes, to find duplicates and leaks."""

from __future__ import annotations

import re
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Runs = npt.NDArray[np.uint64]


def shingles(text: str, words: int) -> Runs:
    """Sorted, each once; a text of fewer words is one run. Case and punctuation do not count.

    64 bits: with 32, one text in fifty would by chance share a run with half a million held-out ones.
    """
    found = [word.encode() for word in re.findall(r"\w+", text.casefold())]
    runs = b"".join(
        blake2b(b" ".join(found[start : start + words]), digest_size=8).digest()
        for start in range(max(1, len(found) - words + 1))
    )
    return np.unique(np.frombuffer(runs, dtype=np.uint64))
