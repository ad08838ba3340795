"""Word boundaries in any script; mentions and spans begin and end at word boundaries."""

from __future__ import annotations

import unicodedata


def word_set(words: str) -> frozenset[str]:
    """The words of a string separated by white space; used for word lists in code."""
    return frozenset(words.split())


_BOUND_PREFIXES = word_set(
    """
    non anti un pre post peri sub inter intra hypo hyper re de co ex semi pseudo para ultra multi bi
    tri mid over under self well micro macro neuro cardio broncho gastro hepato electro immuno auto
    extra infra supra trans
    """
)
"""Prefixes that form one word with the word after a hyphen: "tender" is not a word of "non-tender"."""
_WITHOUT_SPACES = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x30FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
"""Scripts without spaces between words: Thai, Lao, Burmese, Khmer, kana and Han."""


def is_whole(text: str, start: int, end: int) -> bool:
    """True if text[start:end] begins and ends at word boundaries and is not part of a number or compound."""
    return is_boundary(text, start) and is_boundary(text, end) and not _is_bound(text, start)


def is_boundary(text: str, offset: int) -> bool:
    """True if no word and no number continues from text[offset - 1] to text[offset]."""
    if offset <= 0 or offset >= len(text):
        return True
    left, right = text[offset - 1], text[offset]
    if _is_mark(right):
        return False
    if _is_word(left) and _is_word(right):
        return _has_no_spaces(left) or _has_no_spaces(right)
    return not (_joins_digits(text, offset) or _joins_digits(text, offset - 1))


def is_hyphenated(text: str, start: int, end: int) -> bool:
    """True if a hyphen connects text[start:end] with a word: "C5" in "C5-C6", "ray" in "x-ray"."""
    before = start >= 2 and text[start - 1] in "-‐‑" and _is_word(text[start - 2])
    after = end + 1 < len(text) and text[end] in "-‐‑" and _is_word(text[end + 1])
    return before or after


def _is_bound(text: str, start: int) -> bool:
    """True if a bound prefix and a hyphen precede text[start]."""
    if start < 2 or text[start - 1] not in "-‐‑":
        return False
    first = start - 1
    while first > 0 and start - first < 12 and text[first - 1].isalpha():
        first -= 1
    prefix = text[first : start - 1].lower()
    return prefix in _BOUND_PREFIXES or (len(prefix) == 1 and not text[start].isdigit())


def _joins_digits(text: str, offset: int) -> bool:
    """True if text[offset] is a point, comma or colon inside a number: 4.5, 1,200, 10:30."""
    if text[offset] not in ".,:" or offset == 0 or offset + 1 >= len(text):
        return False
    return text[offset - 1].isdigit() and text[offset + 1].isdigit()


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_" or _is_mark(character)


def _is_mark(character: str) -> bool:
    """True for a combining mark (Unicode category M)."""
    return character > "\u02ff" and unicodedata.category(character)[0] == "M"


def _has_no_spaces(character: str) -> bool:
    return character > "\u0dff" and any(first <= ord(character) <= last for first, last in _WITHOUT_SPACES)
