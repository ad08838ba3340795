"""Control characters of a note as something to be seen, wherever a person looks at its text."""

from __future__ import annotations


def control_pictures(kept: str) -> dict[int, str]:
    """For str.translate; the characters in `kept` stay what they are."""
    table = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in kept}
    table[0x7F] = "␡"
    table |= dict.fromkeys(range(0x80, 0xA0), "�")
    # Characters that turn the direction of what follows, or are line ends only to some.
    bidirectional = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    table |= dict.fromkeys(bidirectional, "�")
    return table | {0x2028: "\n", 0x2029: "\n"}
