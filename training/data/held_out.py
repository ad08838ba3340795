"""Held-out texts: finds training texts that overlap evaluation files, by runs of 13 words.

GPT-3's authors used the same length (arXiv 2005.14165, appendix C). A single shared run is no leak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from training.data.data_tables import BrokenRow, files_of, read_rows
from training.data.shingles import shingles

RUN_WORDS = 13
OWN_SHARE = 0.2
"""A training text is dropped if at least this share of its own runs is held out."""
QUOTED_SHARE = 0.5
"""A training text is dropped if it contains at least this share of the runs of one held-out text."""
NAMES = ("test", "dev", "valid", "eval", "held")
"""Name prefixes of held-out files in a folder; a file that the operator names always counts."""
_FEWEST_WORDS = 5
"""Fewest words of a held-out text; a shorter field is an id or a label."""
_TEXT_FIELDS = ("text", "note", "dialogue", "section_text", "sentence", "question", "answer")


class HeldOut:
    """The word runs of every held-out text, each with the number of its text."""

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
        """True if the text overlaps a held-out one by at least one of the two shares."""
        runs = shingles(text, RUN_WORDS).tolist()
        hits_by_text = Counter(self._text_of[run] for run in runs if run in self._text_of)
        is_part = hits_by_text.total() >= OWN_SHARE * len(runs) and bool(hits_by_text)
        return is_part or any(
            hits >= QUOTED_SHARE * self._sizes[text_number] for text_number, hits in hits_by_text.items()
        )


def held_out_files(sources: Iterable[Path]) -> list[Path]:
    """The held-out files among the sources. Raises UsageError for a missing source."""
    paths: list[Path] = []
    for source in sources:
        files = files_of(source)
        paths += files if source.is_file() else [path for path in files if path.name.startswith(NAMES)]
    return paths


def held_out_texts(paths: Iterable[Path]) -> Iterator[str]:
    """Yields every text of five words or more in the rows of the files."""
    for path in paths:
        for row in read_rows(path):
            if isinstance(row, BrokenRow):
                continue
            for name in _TEXT_FIELDS:
                value = row.get(name)
                if isinstance(value, str) and len(value.split()) >= _FEWEST_WORDS:
                    yield value
