"""The notes of a chaos run, what is asked of them, and the notes that end whoever reads them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from models.documents import Document

SEARCHES = ("Is there a sign of infection?", "What medications are given?")
POISON = "This note ends the process that reads it."
_NOTES = Path(__file__).parents[2] / "examples" / "notes"
_WORDS = 60
_POISON_EVERY = 97
"""So that the first is in the first hundred, and two never in one batch of ten."""


def documents(group: str, first: int, count: int) -> Iterator[Document]:
    """Notes `GROUP-00017`, each different from all others; the same for the same numbers."""
    for number in range(first, first + count):
        yield Document(external_id=f"{group}-{number:05d}", text=text_of(group, number))


def text_of(group: str, number: int) -> str:
    body = _bodies()[number % len(_bodies())]
    poison = f"\n{POISON}" if is_poison(group, number) else ""
    return f"Visit {number} of {group}.{poison}\n{body}"


def is_poison(group: str, number: int) -> bool:
    """Only among the notes that the engine without a network reads."""
    return group == "instant" and number % _POISON_EVERY == _POISON_EVERY // 4


@cache
def _bodies() -> tuple[str, ...]:
    texts = [path.read_text("utf-8") for path in sorted(_NOTES.glob("*.txt"))]
    return tuple(" ".join(text.split(" ")[:_WORDS]) for text in texts)
