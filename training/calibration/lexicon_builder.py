"""Builds a lexicon from annotated notes: how often each name is a mention, and the word statistics of
`training/calibration/word_statistics.py`.

A corpus counts only for the labels that it annotates: an unannotated drug is not a negative.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from models.errors import UsageError
from models.security.training_provenance import read_trained_on, write_trained_on
from training.calibration.word_statistics import Named, ending_odds, word_odds
from training.data.provenance_digests import digests_of
from training.evaluation.records.evaluation_data import KNOWN_NAMES, Record, read_records
from worker.note.word_tokens import CandidateSpan, WordTokens
from worker.weights.lexicon import LEXICON_FILE, Lexicon, key_of

_LEAST_SHARE = 0.5
"""Least share of a name's occurrences that are mentions, with half a mention and one occurrence added."""
_LEAST_CHARACTERS = 3
_MOST_PIECES = 10
_HAS_LETTER = re.compile(r"[^\W\d_]")
_Counts = dict[str, Counter[str]]
"""Counts by the hash of a name, then by label."""


def learn(
    corpora: Iterable[Sequence[Record]], labels: Collection[str], lists: Mapping[str, Iterable[str]] = {}
) -> Lexicon:
    """Of the records of each corpus, and of these labels. A name that is rather no mention is left out.

    `lists`: names by label. One that the records never have is given the log odds of those that they have.
    """
    named = [[_named(record, labels) for record in corpus] for corpus in corpora]
    mentions, lengths = _mentions(one for records in named for one in records)
    listed = _listed(lists, lengths)
    every = dict.fromkeys([*mentions, *listed], ("", 0.0))
    seen = _seen(named, Lexicon(every, max(lengths.values(), default=0)))
    names = {}
    for key, counts in mentions.items():
        shares = {of: (n + 0.5) / (max(n, seen[key][of]) + 1.5) for of, n in counts.items()}
        label = max(shares, key=shares.__getitem__)
        if shares[label] > _LEAST_SHARE:
            names[key] = (label, _log_odds(shares[label]))
    names |= _unseen(listed, mentions, seen)
    longest = max((lengths[key] for key in names), default=0)
    return Lexicon(names, longest, word_odds(named), ending_odds(named))


def add_lexicon(
    adapter: Path, data: Sequence[Path], lists: Mapping[str, Sequence[Path]] = {}
) -> dict[str, int]:
    """Writes lexicon.json beside an adapter's weights; returns how many names each label has.

    Names that are there already stay, unless the data names them too. `data`: files of annotated notes, or
    folders with a train.jsonl, such as a prepared one; never what is evaluated on. `lists`: by label, files
    with a name a line. Raises UsageError.
    """
    if not (adapter / "notemill.json").is_file():
        raise UsageError(f"{adapter} holds no notemill.json: name the folder of `train finetune`")
    marked = json.loads((adapter / "notemill.json").read_text("utf-8")).get("labels", ())
    corpora = [corpus for path in data for corpus in _corpora(path)]
    learnt, before = learn(corpora, marked, _read_lists(lists, marked)), Lexicon.read(adapter)
    if not learnt.names:
        raise UsageError(f"no names to learn: {adapter} marks {', '.join(marked) or 'nothing'}")
    stored = merged(before, learnt).stored()
    (adapter / LEXICON_FILE).write_text(json.dumps(stored, separators=(",", ":")) + "\n", "utf-8")
    digests = digests_of(record for corpus in corpora for record in corpus)
    write_trained_on(adapter, read_trained_on(adapter) | digests)
    return {label: len(names) for label, names in stored["names"].items()}


def merged(before: Lexicon, learnt: Lexicon) -> Lexicon:
    """Names as learnt last; of the evidence against a single word, the weaker."""
    words = {label: dict(some) for label, some in before.words.items()}
    for label, some in learnt.words.items():
        of_label = words.setdefault(label, {})
        for key, odds in some.items():
            of_label[key] = odds._replace(alone=max(odds.alone, of_label.get(key, odds).alone))
    endings = {label: dict(some) for label, some in before.endings.items()}
    for label, hints in learnt.endings.items():
        of_ending = endings.setdefault(label, {})
        of_ending |= {ending: max(odds, of_ending.get(ending, odds)) for ending, odds in hints.items()}
    longest = max(before.longest, learnt.longest)
    return Lexicon({**before.names, **learnt.names}, longest, words, endings)


def _corpora(path: Path) -> list[list[Record]]:
    """The annotated notes of a file; files of `train prepare` name the corpus of each."""
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


def _read_lists(lists: Mapping[str, Sequence[Path]], marked: Collection[str]) -> dict[str, list[str]]:
    for label in lists:
        if label not in marked:
            raise UsageError(f"names of {label}, but the adapter marks {', '.join(marked) or 'nothing'}")
    missing = [str(file) for files in lists.values() for file in files if not file.is_file()]
    if missing:
        raise UsageError(f"there is no file {missing[0]}: name a text file with a name a line")
    return {
        label: [name.strip() for file in files for name in file.read_text("utf-8").splitlines()]
        for label, files in lists.items()
    }


def _named(record: Record, labels: Collection[str]) -> Named:
    text = record["text"]
    stretches = [
        CandidateSpan(one["start"], one["end"], KNOWN_NAMES.get(one["label"], one["label"]))
        for one in record["entities"]
    ]
    return text, WordTokens.of(text), [one for one in stretches if one.label in labels]


def _mentions(named: Iterable[Named]) -> tuple[_Counts, dict[str, int]]:
    """Counts of each name by label, and its number of tokens."""
    counts: _Counts = defaultdict(Counter)
    lengths: dict[str, int] = {}
    for text, _, marked in named:
        for start, end, label in marked:
            key = _key_of_name(text[start:end], lengths)
            if key is not None:
                counts[key][label] += 1
    return counts, lengths


def _listed(lists: Mapping[str, Iterable[str]], lengths: dict[str, int]) -> dict[str, str]:
    """The label of each listed name; of two lists with it, the first."""
    listed: dict[str, str] = {}
    for label, names in lists.items():
        for name in names:
            key = _key_of_name(name, lengths)
            if key is not None:
                listed.setdefault(key, label)
    return listed


def _key_of_name(name: str, lengths: dict[str, int]) -> str | None:
    """The key of a name; None for one that is too short, too long or a number."""
    key, length = key_of(name)
    if len(name) < _LEAST_CHARACTERS or length > _MOST_PIECES or not _HAS_LETTER.search(name):
        return None
    lengths[key] = length
    return key


def _seen(named: Iterable[Sequence[Named]], every: Lexicon) -> _Counts:
    """Counts of each name in text in which a label would be annotated."""
    counts: _Counts = defaultdict(Counter)
    for records in named:
        annotated = {one.label for _, _, marked in records for one in marked}
        for text, pieces, _ in records:
            for one in every.matches(pieces):
                counts[key_of(text[one.start : one.end])[0]].update(annotated)
    return counts


def _unseen(listed: Mapping[str, str], mentions: _Counts, seen: _Counts) -> dict[str, tuple[str, float]]:
    """Listed names that do not occur in the notes: as likely as the others of their list."""
    shares: dict[str, list[float]] = defaultdict(list)
    for key, label in listed.items():
        if seen[key][label]:
            shares[label].append(min(1.0, mentions[key][label] / seen[key][label]))
    odds = {label: _log_odds((sum(some) + 0.5) / (len(some) + 1)) for label, some in shares.items()}
    return {
        key: (label, odds.get(label, 0.0))
        for key, label in listed.items()
        if not seen[key] and key not in mentions
    }


def _log_odds(share: float) -> float:
    return round(math.log(share / (1 - share)), 2)
