"""Visible symbols for control characters, for every place where a person reads a note's text."""

from __future__ import annotations


def control_pictures(kept: str) -> dict[int, str]:
    """A table for `str.translate`; it leaves the characters in `kept` unchanged."""
    table = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in kept}
    table[0x7F] = "␡"
    table |= dict.fromkeys(range(0x80, 0xA0), "�")
    # Characters that change the direction of the text after them, and line ends that few programs know.
    bidirectional = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    table |= dict.fromkeys(bidirectional, "�")
    return table | {0x2028: "\n", 0x2029: "\n"}
