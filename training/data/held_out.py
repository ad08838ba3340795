"""Held-out texts: finds training texts that overlap evaluation files, by runs of 13 words.

Thirteen words is the run that GPT-3's authors looked for (arXiv 2005.14165, appendix C); a single shared run
is no leak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from training.data.data_tables import BrokenRow, files_of, read_rows
from training.data.shingles import shingles

RUN_WORDS = 13
OWN_SHARE = 0.2
"""A text is left out when this share of its own runs is held out, or"""
QUOTED_SHARE = 0.5
"""when it has this share of the runs of one held-out text."""
NAMES = ("test", "dev", "valid", "eval", "held")
"""Beginnings of names of held-out files in a folder; a file that is named itself always counts."""
_FEWEST_WORDS = 5
"""Fewest words of a text; a shorter field is an id or a label."""
_TEXT_FIELDS = ("text", "note", "dialogue", "section_text", "sentence", "question", "answer")


class HeldOut:
    """The word runs of every held-out text, and the text of each."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._text_of: dict[int, int] = {}
        self._sizes: list[int] = []
        for text in texts:
            runs = shingles(text, RUN_WORDS).tolist()
            self._text_of.update(dict.fromkeys(runs, len(self._sizes)))
            self._sizes.append(len(runs))

    @property
    def texts(self) -> int:
        return len(self._sizes)

    def is_in(self, text: str) -> bool:
        """True where the text is, quotes, or largely repeats a held-out one."""
        runs = shingles(text, RUN_WORDS).tolist()
        found = Counter(self._text_of[run] for run in runs if run in self._text_of)
        is_part = found.total() >= OWN_SHARE * len(runs) and bool(found)
        return is_part or any(hits >= QUOTED_SHARE * self._sizes[one] for one, hits in found.items())


def held_out_files(sources: Iterable[Path]) -> list[Path]:
    """Raises UsageError for what is not there."""
    found: list[Path] = []
    for source in sources:
        files = files_of(source)
        found += files if source.is_file() else [path for path in files if path.name.startswith(NAMES)]
    return found


def held_out_texts(paths: Iterable[Path]) -> Iterator[str]:
    """Every text of five words or more in their rows."""
    for path in paths:
        for row in read_rows(path):
            if isinstance(row, BrokenRow):
                continue
            for name in _TEXT_FIELDS:
                value = row.get(name)
                if isinstance(value, str) and len(value.split()) >= _FEWEST_WORDS:
                    yield value
