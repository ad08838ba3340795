"""Builds a lexicon from annotated notes: how often each name is a mention, and word statistics.

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
from training.calibration.word_statistics import TokenizedNote, ending_odds, word_odds
from training.data.provenance_digests import digests_of
from training.evaluation.records.evaluation_data import LABEL_BY_SOURCE_NAME, Record, read_records
from worker.note.word_tokens import CandidateSpan, WordTokens
from worker.weights.lexicon import LEXICON_FILE, Lexicon, key_of

_LEAST_SHARE = 0.5
"""Least share of a name's occurrences that are mentions, with half a mention and one occurrence added."""
_LEAST_CHARACTERS = 3
_MOST_TOKENS = 10
_HAS_LETTER = re.compile(r"[^\W\d_]")
_Counts = dict[str, Counter[str]]
"""Counts by the hash of a name, then by label."""


def learn(
    corpora: Iterable[Sequence[Record]], labels: Collection[str], lists: Mapping[str, Iterable[str]] = {}
) -> Lexicon:
    """Learns a lexicon from the records of each corpus; leaves out names that are seldom a mention.

    `lists`: further names by label. A listed name that no record has gets the average log odds of the listed
    names that records have.
    """
    notes_by_corpus = [[_tokenized(record, labels) for record in corpus] for corpus in corpora]
    mentions, lengths = _mentions(note for notes in notes_by_corpus for note in notes)
    list_labels = _labels_of_lists(lists, lengths)
    all_names = dict.fromkeys([*mentions, *list_labels], ("", 0.0))
    occurrences = _occurrences(notes_by_corpus, Lexicon(all_names, max(lengths.values(), default=0)))
    names = {}
    for key, counts in mentions.items():
        shares = {label: (n + 0.5) / (max(n, occurrences[key][label]) + 1.5) for label, n in counts.items()}
        label = max(shares, key=shares.__getitem__)
        if shares[label] > _LEAST_SHARE:
            names[key] = (label, _log_odds(shares[label]))
    names |= _names_only_in_lists(list_labels, mentions, occurrences)
    longest = max((lengths[key] for key in names), default=0)
    return Lexicon(names, longest, word_odds(notes_by_corpus), ending_odds(notes_by_corpus))


def add_lexicon(
    adapter: Path, data: Sequence[Path], lists: Mapping[str, Sequence[Path]] = {}
) -> dict[str, int]:
    """Writes lexicon.json beside an adapter's weights; returns how many names each label has.

    Names already in the file stay, unless the data has them too. `data`: files of annotated notes, or folders
    with a train.jsonl, such as a prepared one; never evaluation data. `lists`: files by label, one name a
    line. Raises UsageError.
    """
    if not (adapter / "notemill.json").is_file():
        raise UsageError(f"{adapter} holds no notemill.json: name the folder of `train finetune`")
    labels = json.loads((adapter / "notemill.json").read_text("utf-8")).get("labels", ())
    corpora = [corpus for path in data for corpus in _corpora(path)]
    learnt, before = learn(corpora, labels, _read_lists(lists, labels)), Lexicon.read(adapter)
    if not learnt.names:
        raise UsageError(f"no names to learn: {adapter} tags {', '.join(labels) or 'nothing'}")
    stored = merged(before, learnt).stored()
    (adapter / LEXICON_FILE).write_text(json.dumps(stored, separators=(",", ":")) + "\n", "utf-8")
    digests = digests_of(record for corpus in corpora for record in corpus)
    write_trained_on(adapter, read_trained_on(adapter) | digests)
    return {label: len(names) for label, names in stored["names"].items()}


def merged(before: Lexicon, learnt: Lexicon) -> Lexicon:
    """Both lexicons. Of names in both `learnt` counts; of words and endings in both the higher log odds."""
    words = {label: dict(odds_of_label) for label, odds_of_label in before.words.items()}
    for label, odds_of_label in learnt.words.items():
        of_label = words.setdefault(label, {})
        for key, odds in odds_of_label.items():
            of_label[key] = odds._replace(alone=max(odds.alone, of_label.get(key, odds).alone))
    endings = {label: dict(odds_of_label) for label, odds_of_label in before.endings.items()}
    for label, hints in learnt.endings.items():
        of_ending = endings.setdefault(label, {})
        of_ending |= {ending: max(odds, of_ending.get(ending, odds)) for ending, odds in hints.items()}
    longest = max(before.longest, learnt.longest)
    return Lexicon({**before.names, **learnt.names}, longest, words, endings)


def _corpora(path: Path) -> list[list[Record]]:
    """The annotated notes of a file by corpus; records of `train prepare` name their corpus."""
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


def _read_lists(lists: Mapping[str, Sequence[Path]], labels: Collection[str]) -> dict[str, list[str]]:
    for label in lists:
        if label not in labels:
            raise UsageError(f"names of {label}, but the adapter tags {', '.join(labels) or 'nothing'}")
    missing = [str(file) for files in lists.values() for file in files if not file.is_file()]
    if missing:
        raise UsageError(f"there is no file {missing[0]}: name a text file with a name a line")
    return {
        label: [name.strip() for file in files for name in file.read_text("utf-8").splitlines()]
        for label, files in lists.items()
    }


def _tokenized(record: Record, labels: Collection[str]) -> TokenizedNote:
    text = record["text"]
    spans = [
        CandidateSpan(
            entity["start"], entity["end"], LABEL_BY_SOURCE_NAME.get(entity["label"], entity["label"])
        )
        for entity in record["entities"]
    ]
    return text, WordTokens.of(text), [span for span in spans if span.label in labels]


def _mentions(notes: Iterable[TokenizedNote]) -> tuple[_Counts, dict[str, int]]:
    """Counts of each name by label, and its number of tokens."""
    counts: _Counts = defaultdict(Counter)
    lengths: dict[str, int] = {}
    for text, _, mentions in notes:
        for start, end, label in mentions:
            key = _key_of_name(text[start:end], lengths)
            if key is not None:
                counts[key][label] += 1
    return counts, lengths


def _labels_of_lists(lists: Mapping[str, Iterable[str]], lengths: dict[str, int]) -> dict[str, str]:
    """The label of each listed name; of two lists with the same name, the first counts."""
    list_labels: dict[str, str] = {}
    for label, names in lists.items():
        for name in names:
            key = _key_of_name(name, lengths)
            if key is not None:
                list_labels.setdefault(key, label)
    return list_labels


def _key_of_name(name: str, lengths: dict[str, int]) -> str | None:
    """The key of a name; None for one that is too short, too long or a number."""
    key, length = key_of(name)
    if len(name) < _LEAST_CHARACTERS or length > _MOST_TOKENS or not _HAS_LETTER.search(name):
        return None
    lengths[key] = length
    return key


def _occurrences(notes_by_corpus: Iterable[Sequence[TokenizedNote]], all_names: Lexicon) -> _Counts:
    """Counts of each name in text in which a label would be annotated."""
    counts: _Counts = defaultdict(Counter)
    for notes in notes_by_corpus:
        annotated = {mention.label for _, _, mentions in notes for mention in mentions}
        for text, tokens, _ in notes:
            for match in all_names.matches(tokens):
                counts[key_of(text[match.start : match.end])[0]].update(annotated)
    return counts


def _names_only_in_lists(
    list_labels: Mapping[str, str], mentions: _Counts, occurrences: _Counts
) -> dict[str, tuple[str, float]]:
    """Listed names that do not occur in the notes; they get the log odds of the others of their list."""
    shares: dict[str, list[float]] = defaultdict(list)
    for key, label in list_labels.items():
        if occurrences[key][label]:
            shares[label].append(min(1.0, mentions[key][label] / occurrences[key][label]))
    odds = {label: _log_odds((sum(values) + 0.5) / (len(values) + 1)) for label, values in shares.items()}
    return {
        key: (label, odds.get(label, 0.0))
        for key, label in list_labels.items()
        if not occurrences[key] and key not in mentions
    }


def _log_odds(share: float) -> float:
    return round(math.log(share / (1 - share)), 2)
