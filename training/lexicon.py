"""A lexicon learnt from annotated notes: of each name, how often it is a mention where it stands.

A corpus counts only for the labels that are used in it: an unannotated drug is not a negative.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from models.errors import UsageError
from models.trained_on import read_trained_on, write_trained_on
from training.digests import digests_of
from training.evaluation.data import KNOWN_NAMES, Record, read_records
from worker.lexicon import FILE, Lexicon, key_of

_LEAST_SHARE = 0.5
"""Of a name's occurrences, with half a mention and one occurrence more that nobody saw."""
_LEAST_CHARACTERS = 3
_MOST_PIECES = 10
_HAS_LETTER = re.compile(r"[^\W\d_]")
_Named = tuple[str, list[tuple[str, str]]]
"""A text, and each mention's words with its label."""


def learn(corpora: Iterable[Sequence[Record]], labels: Collection[str]) -> Lexicon:
    """Of the records of each corpus, and of these labels. A name that is rather no mention is left out."""
    named = [[_named(record, labels) for record in corpus] for corpus in corpora]
    mentions, lengths = _mentions(one for records in named for one in records)
    seen = _seen(named, Lexicon(dict.fromkeys(mentions, ("", 0.0)), max(lengths.values(), default=0)))
    names = {}
    for key, counts in mentions.items():
        shares = {of: (n + 0.5) / (max(n, seen[key][of]) + 1.5) for of, n in counts.items()}
        label = max(shares, key=shares.__getitem__)
        if shares[label] > _LEAST_SHARE:
            names[key] = (label, round(math.log(shares[label] / (1 - shares[label])), 2))
    return Lexicon(names, max((lengths[key] for key in names), default=0))


def add_lexicon(adapter: Path, data: Sequence[Path]) -> dict[str, int]:
    """Writes lexicon.json beside an adapter's weights; returns how many names each label has.

    Names that are there already stay, unless the data names them too. `data`: files of annotated notes, or
    folders with a train.jsonl, such as a prepared one; never what is evaluated on. Raises UsageError.
    """
    if not (adapter / "notemill.json").is_file():
        raise UsageError(f"{adapter} holds no notemill.json: name the folder of `train finetune`")
    marked = json.loads((adapter / "notemill.json").read_text("utf-8")).get("labels", ())
    corpora = [corpus for path in data for corpus in _corpora(path)]
    learnt, before = learn(corpora, marked), Lexicon.read(adapter)
    if not learnt.names:
        raise UsageError(f"no names to learn: {adapter} marks {', '.join(marked) or 'nothing'}")
    whole = Lexicon({**before.names, **learnt.names}, max(before.longest, learnt.longest))
    stored = whole.stored()
    (adapter / FILE).write_text(json.dumps(stored, separators=(",", ":")) + "\n", "utf-8")
    digests = digests_of(record for corpus in corpora for record in corpus)
    write_trained_on(adapter, read_trained_on(adapter) | digests)
    return {label: len(names) for label, names in stored["names"].items()}


def _corpora(path: Path) -> list[list[Record]]:
    """The annotated notes of a file; what `train prepare` wrote says which corpus each is of."""
    file = path / "train.jsonl" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(f"there is no file {file}: name a file of annotated records or its folder")
    corpora: dict[str, list[Record]] = {}
    for record in read_records(file):
        if "entities" in record:
            corpora.setdefault(record.get("corpus", ""), []).append(record)
    if not corpora:
        raise UsageError(f"{file} has no entities to learn names from")
    return list(corpora.values())


def _named(record: Record, labels: Collection[str]) -> _Named:
    text = record["text"]
    marked = [(one, KNOWN_NAMES.get(one["label"], one["label"])) for one in record["entities"]]
    return text, [(text[one["start"] : one["end"]], label) for one, label in marked if label in labels]


def _mentions(named: Iterable[_Named]) -> tuple[dict[str, Counter[str]], dict[str, int]]:
    """How often each name is marked with each label, and how many pieces it has."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    lengths = {}
    for name, label in (one for _, marked in named for one in marked):
        key, length = key_of(name)
        if len(name) >= _LEAST_CHARACTERS and _HAS_LETTER.search(name) and length <= _MOST_PIECES:
            counts[key][label] += 1
            lengths[key] = length
    return counts, lengths


def _seen(named: Iterable[Sequence[_Named]], every: Lexicon) -> dict[str, Counter[str]]:
    """How often each name stands in text in which a label would have been marked."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for records in named:
        annotated = {label for _, marked in records for _, label in marked}
        for text, _ in records:
            for one in every.found(text):
                counts[key_of(text[one.start : one.end])[0]].update(annotated)
    return counts
