"""Shingles: runs of consecutive words as 64-bit hashes, to find duplicates and leaks."""

from __future__ import annotations

import re
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Runs = npt.NDArray[np.uint64]


def shingles(text: str, words: int) -> Runs:
    """The sorted hashes of every run of `words` words; a shorter text is one run. Ignores case and
    punctuation.

    With 32 bits instead of 64, one text in fifty would by chance share a hash with half a million held-out
    runs.
    """
    tokens = [word.encode() for word in re.findall(r"\w+", text.casefold())]
    runs = b"".join(
        blake2b(b" ".join(tokens[start : start + words]), digest_size=8).digest()
        for start in range(max(1, len(tokens) - words + 1))
    )
    return np.unique(np.frombuffer(runs, dtype=np.uint64))
