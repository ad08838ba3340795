"""The notes and searches of a chaos run, including poison notes that kill the worker."""

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
"""The first poison note is in the first hundred, and a batch of ten never has two."""


def documents(group: str, first: int, count: int) -> Iterator[Document]:
    """Notes with ids such as `GROUP-00017`. The same number gives the same note, and no two are equal."""
    for number in range(first, first + count):
        yield Document(external_id=f"{group}-{number:05d}", text=text_of(group, number))


def text_of(group: str, number: int) -> str:
    body = _bodies()[number % len(_bodies())]
    poison = f"\n{POISON}" if is_poison(group, number) else ""
    return f"Visit {number} of {group}.{poison}\n{body}"


def is_poison(group: str, number: int) -> bool:
    """Poison notes are only in the group of the engine without a network."""
    return group == "instant" and number % _POISON_EVERY == _POISON_EVERY // 4


@cache
def _bodies() -> tuple[str, ...]:
    texts = [path.read_text("utf-8") for path in sorted(_NOTES.glob("*.txt"))]
    return tuple(" ".join(text.split(" ")[:_WORDS]) for text in texts)
