"""Places in a cache of a fixed length: stretches of tokens, taken and given back. Knows no torch."""

from __future__ import annotations

from bisect import insort


class Stretches:
    """First fit at the lowest offset, so that what is in use stays together and the cache stays short."""

    def __init__(self) -> None:
        self._taken: list[tuple[int, int]] = []

    @property
    def end(self) -> int:
        """The first token behind all that is taken: how long the cache has to be."""
        return self._taken[-1][1] if self._taken else 0

    def place_for(self, num_tokens: int) -> int:
        """Where so many tokens would lie; nothing is taken yet."""
        offset = 0
        for start, end in self._taken:
            if start - offset >= num_tokens:
                break
            offset = end
        return offset

    def take(self, num_tokens: int) -> int:
        """The offset of a stretch that is now taken."""
        offset = self.place_for(num_tokens)
        insort(self._taken, (offset, offset + num_tokens))
        return offset

    def give_back(self, offset: int) -> None:
        """Frees the stretch that begins there."""
        self._taken = [one for one in self._taken if one[0] != offset]
