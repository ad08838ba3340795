"""Lexical similarity of query and sentence: equal words, stems, synonyms and abbreviations, weighted by
rarity in the note.

Does not use embeddings; synonyms.toml holds the synonyms.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

from worker.note.abbreviations import query_variants
from worker.note.stemming import content_stems

_SAME_BEGINNING, _SAME_PART, _SYNONYM = 0.7, 0.6, 0.6
"""Weights beside an equal word. MAP on 1,437 queries of NCBI Disease's training half: 0.754 by words alone,
0.764 with the note's abbreviations, 0.781 with beginnings, 0.805 with synonyms and parts, 0.824 with
initials."""
_LEAST_BEGINNING, _LEAST_PART = 5, 6
_ENDING = 7
_SHORT_FORM = re.compile(r"[a-z][a-z0-9-]{1,6}")


def lexical_similarities(
    query: str, found: Sequence[Sequence[str]], note: str, explained: Mapping[str, str]
) -> list[float]:
    """For each sentence of the note the share of the query that it has, 0 to 1; with several wordings the
    best. `found`: the content stems of each sentence; `explained`: the note's abbreviations."""
    task_config = [*query_variants(query, explained), *_by_initials(query, note)]
    shares = [_shares(content_stems(way), found) for way in task_config]
    return [max(some) for some in zip(*shares, strict=True)]


def _shares(wanted: Sequence[str], found: Sequence[Sequence[str]]) -> list[float]:
    if not wanted:
        return [0.0] * len(found)
    stems = frozenset().union(*found)
    like = [{stem: _like(one, stem) for stem in stems} for one in wanted]
    likeness = [[max(map(of_one.__getitem__, some), default=0.0) for of_one in like] for some in found]
    weights = [
        math.log(1 + len(found) / max(0.5, sum(row[place] for row in likeness)))
        for place in range(len(wanted))
    ]
    total = sum(weights) or 1.0
    return [sum(a * b for a, b in zip(row, weights, strict=True)) / total for row in likeness]


@lru_cache(maxsize=16_384)
def _like(one: str, other: str) -> float:
    if one == other:
        return 1.0
    if _matters().get(one, frozenset()) & _matters().get(other, frozenset()):
        return _SYNONYM
    shorter, longer = sorted((len(one), len(other)))
    same = next((place for place in range(shorter) if one[place] != other[place]), shorter)
    if same >= max(_LEAST_BEGINNING, 0.6 * longer):
        return _SAME_BEGINNING
    is_part = shorter >= _LEAST_PART and (one in other or other in one)
    is_ending = shorter > _ENDING + 1 and one[-_ENDING:] == other[-_ENDING:]
    return _SAME_PART if is_part or is_ending else 0.0


def _by_initials(query: str, note: str) -> Iterator[str]:
    """A short form expanded as in the note, "EDMD"; or a name's initials, where the note has them."""
    small = query.lower().strip()
    if _SHORT_FORM.fullmatch(small):
        letters = [letter for letter in small if letter.isalnum()]
        words = list(re.finditer(r"[A-Za-z]+|\d+", note))
        initials = [match.group()[0].lower() for match in words]
        for place in range(len(words) - len(letters) + 1):
            if initials[place : place + len(letters)] == letters:
                yield note[words[place].start() : words[place + len(letters) - 1].end()]
                return
        return
    words_asked = re.findall(r"[a-z0-9]+", small)
    for size in (len(words_asked), len(words_asked) - 1):
        short = "".join(word[0] for word in words_asked[:size]).upper()
        for form in (short, "-".join(short)):
            if size >= 2 and re.search(rf"(?<!\w){re.escape(form)}(?!\w)", note):
                yield form


@cache
def _matters() -> dict[str, frozenset[int]]:
    """By stem, the lines of synonyms.toml that contain it."""
    table: dict[str, list[str]] = tomllib.loads(Path(__file__).with_name("synonyms.toml").read_text("utf-8"))
    found: dict[str, set[int]] = defaultdict(set)
    for number, words in enumerate(table["same"]):
        for stem in content_stems(words):
            found[stem].add(number)
    return {stem: frozenset(numbers) for stem, numbers in found.items()}
