"""Nothing that is evaluated on is trained on: texts of held-out files, found again by runs of 13 words.

Thirteen is the run of words that GPT-3's authors looked for (arXiv 2005.14165, appendix C). A text of fewer
words is compared as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from training.rows import BrokenRow, files_of, read_rows
from training.shingles import shingles

RUN_WORDS = 13
NAMES = ("test", "dev", "valid", "eval", "held")
"""In a folder, files whose names begin so are held out; a file that is named itself always is."""
_FEWEST_WORDS = 5
"""A shorter field is an id or a label, not a text."""
_TEXT_FIELDS = ("text", "note", "dialogue", "section_text", "sentence", "question", "answer")


class HeldOut:
    """The runs of words of every held-out text."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._runs: set[int] = set()
        self.texts = 0
        for text in texts:
            self.texts += 1
            self._runs.update(shingles(text, RUN_WORDS).tolist())

    def is_in(self, text: str) -> bool:
        """Whether the text shares a run of words with a held-out one."""
        return any(run in self._runs for run in shingles(text, RUN_WORDS).tolist())


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
