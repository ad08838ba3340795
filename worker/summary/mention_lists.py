"""Mentions as a summary lists them: what holds, each once, in its fullest name, with what is stated of it.

Names are the note's own characters: "pain" is told as "right upper quadrant pain" where that is written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from models.answers import Assertion, Entity, Span
from worker.note.parsed_note import Note
from worker.note.word_boundaries import word_set
from worker.summary.stated_diagnoses import SourcedPhrase, fullest_names, is_short, one_line

_TELLING = frozenset({"diagnoses", "impression", "assessment", "procedure"})
"""Kinds of sections that say what the note is about."""
_NOT_TAKEN = frozenset({"allergies", "discontinued", "family_history"})
_LEAVING = re.compile(r"\bdischarge|\btransfer", re.IGNORECASE)
_LEAST_LIST = 2
"""Medications that are a list."""
_EVERY_ATTRIBUTE = frozenset({"dosage", "frequency", "route", "value"})
_DOSE_ALONE = frozenset({"dosage"})
_NEAR = 60
"""Characters between a mention and what is said of it that are still told in one piece."""
_MOST_BETWEEN = 4
"""Words between two things that are told in one piece: "heart rate in the 100s"; more is another matter."""
_LINKS = word_set("are at been from in is measured of on only remained remains the to today was were")
"""Words between a test and its result: "had a 0.9 cm cyst" is none of an ultrasound."""
_LEAST_MENTION, _LEAST_IN_FULL = 0.5, 0.25
"""A doubtful mention is a row among the entities, but nothing to tell a reader first. A name of several words
is as probable as its least word, and in the note's own list of medications hardly any is doubtful."""
_HOLDS = frozenset({Assertion.PRESENT, Assertion.POSSIBLE})
_UNNAMED = word_set(
    """
    dilated distended edematous enlarged hypertrophic inflammatory medication medications narrowed osteophytic
    ruptured thickened
    """
)
"""Words that say how something was found, and not what; alone they name no problem and no medication."""
_GENERAL = word_set("lesion lesions mass masses pain symptoms tumor tumors")
_OF_A_GENERAL = 0.4
"""Weight of a general word beside a specific one: "tumor" beside "carcinoma"."""
_IN_A_DIAGNOSIS, _OF_A_DOUBT = 3.0, 0.5
"""Weights of a mention in a diagnosis, and of a possible one, beside a mention in passing."""
_SIDES = word_set("acute bilateral chronic left lower right severe upper")
_IN_A_PLACE = re.compile(
    r"\s(?:in|of|at|to)\s(?:(?:the|his|her|both)\s)?(?:(?:left|right|bilateral|upper|lower)\s)*",
    re.IGNORECASE,
)
_ARTICLES = word_set("a an her his the")
_LEAST_PLURAL = 4
"""Letters; a shorter word that ends in s is no plural: "gas"."""
_LONGEST_NAME = 8
"""Words."""
_Place = TypeVar("_Place", int, Span)


@dataclass(frozen=True, slots=True)
class _Named:
    """A mention and its name in the note, [start, end): the mention with its place."""

    entity: Entity
    start: int
    end: int
    name: str
    """On one line."""


def main_mention(note: Note, entities: Sequence[Entity], label: str, max_words: int) -> list[SourcedPhrase]:
    """The mention that stands for the note, if there is any of this label."""
    groups = _groups(note, entities, label)
    fitting = [group for group in _fullest(groups) if len(group[0].name.split()) <= max_words]
    if not fitting:
        return []
    first = max(fitting, key=lambda group: _weight(note, group))[0]
    return [SourcedPhrase(first.name, note.sentence_at(first.start))]


def mention_list(note: Note, entities: Sequence[Entity], label: str, max_words: int) -> list[SourcedPhrase]:
    """The label's mentions that hold, most often and most surely named first chosen, in the note's order."""
    groups = _fullest(_groups(note, entities, label))
    ranked = sorted(groups, key=lambda group: -_weight(note, group))
    pieces = [
        (group[0].start, _piece(note, max(group, key=lambda one: len(one.entity.attributes))))
        for group in ranked
    ]
    if label == "test":  # without its result, which stands too far from it, it tells nothing
        names = {group[0].name.lower() for group in ranked}
        pieces = [one for one in pieces if one[1].text.lower() not in names]
    return [piece for _, piece in sorted(fitting(pieces, max_words), key=lambda one: one[0])]


def medication_list(note: Note, entities: Sequence[Entity], max_words: int) -> list[SourcedPhrase]:
    """Those of the list of medications, where there is one, as a whole if it fits with doses alone."""
    taken = [
        one
        for one in entities
        if one.label == "medication" and note.section_at(one.start).kind not in _NOT_TAKEN
    ]
    stated = [one for one in taken if note.section_at(one.start).kind == "medications"]
    discharged = [one for one in stated if _LEAVING.search(note.section_at(one.start).title)]
    if len(groups := _groups(note, discharged or stated, "medication")) < _LEAST_LIST:
        return mention_list(note, taken, "medication", max_words)
    for attributes in (_EVERY_ATTRIBUTE, _DOSE_ALONE):
        pieces = [_piece(note, group[0], attributes) for group in groups]
        if sum(map(count_words, pieces)) <= max_words:
            break
    return [piece for _, piece in fitting(((piece.source, piece) for piece in pieces), max_words)]


def is_in_topic_section(note: Note, entity: Entity) -> bool:
    """Whether it stands in a short section that says what the note is about."""
    section = note.section_at(entity.start)
    return section.kind in _TELLING and is_short(section)


def fitting(
    ranked: Iterable[tuple[_Place, SourcedPhrase]], max_words: int
) -> list[tuple[_Place, SourcedPhrase]]:
    """The first that fit, one after the other."""
    kept, left = [], max_words
    for one in ranked:
        if count_words(one[1]) <= left:
            kept.append(one)
            left -= count_words(one[1])
    return kept


def count_words(piece: SourcedPhrase) -> int:
    return len(piece.text.split())


def _groups(note: Note, entities: Sequence[Entity], label: str) -> list[list[_Named]]:
    """Mentions of the same name that hold, in the order of their first; none that is denied in the end."""
    anatomy = [one for one in entities if one.label == "anatomy"] if label == "problem" else []
    said: dict[str, list[_Named]] = {}
    for entity in entities:
        if entity.label == label and entity.text.lower() not in _UNNAMED:
            named = _with_place(note, entity, anatomy)
            said.setdefault(_key(named.name), []).append(named)
    groups = [[one for one in some if _holds(note, one.entity)] for some in said.values() if _lasts(some)]
    return [group for group in groups if group]


def _lasts(said: Sequence[_Named]) -> bool:
    """Whether it is not denied by its last mention, and by at least every second: "referred for glaucoma",
    and "does not have glaucoma"."""
    denied = [one.entity.assertion is Assertion.NEGATED for one in said]
    return not denied[-1] or 2 * sum(denied) < len(denied)


def _holds(note: Note, entity: Entity) -> bool:
    """Whether it is sure and said to be so; a test is told with its result only."""
    is_listed = note.section_at(entity.start).kind == "medications"
    is_in_full = len(entity.text.split()) > 1 or (is_listed and entity.label == "medication")
    least = _LEAST_IN_FULL if is_in_full else _LEAST_MENTION
    is_sure = entity.probability is None or entity.probability >= least
    return is_sure and entity.assertion in _HOLDS and (entity.label != "test" or bool(entity.attributes))


def _key(name: str) -> str:
    """The same for "tear of the meniscus" and "tears of meniscus"."""
    words = [word for word in name.lower().split() if word not in _ARTICLES]
    return " ".join(word.removesuffix("s") if len(word) > _LEAST_PLURAL else word for word in words)


def _with_place(note: Note, entity: Entity, anatomy: Sequence[Entity]) -> _Named:
    """The mention with the part of the body before it, its side, or the part that it is said to be in."""
    start, end = entity.start, entity.end
    for place in reversed(anatomy):
        if place.end < start and not note.text[place.end : start].strip():
            start = place.start
    if behind := _IN_A_PLACE.match(note.text, end):
        end = next((place.end for place in anatomy if place.start == behind.end()), end)
    sentence = note.sentence_at(entity.start)
    before = note.text[sentence.start : start]
    while (words := before.split()) and words[-1].lower() in _SIDES:
        before = before[: before.rindex(words[-1])]
        start = sentence.start + len(before)
    name = one_line(note.text[start:end])
    if len(name.split()) > _LONGEST_NAME or start < sentence.start or end > sentence.end:
        start, end, name = entity.start, entity.end, one_line(entity.text)
    return _Named(entity, start, end, name)


def _fullest(groups: Sequence[list[_Named]]) -> list[list[_Named]]:
    kept = fullest_names([group[0].name for group in groups])
    return [group for group in groups if group[0].name in kept]


def _weight(note: Note, group: Sequence[_Named]) -> float:
    """How characteristic a mention is: more if named often, in a diagnosis, in full words."""
    told = sum(_weight_of_one(note, one.entity) for one in group)
    said = group[0].entity.text
    return told * math.sqrt(len(said.split())) * (_OF_A_GENERAL if said.lower() in _GENERAL else 1.0)


def _weight_of_one(note: Note, entity: Entity) -> float:
    telling = _IN_A_DIAGNOSIS if is_in_topic_section(note, entity) else 1.0
    doubt = _OF_A_DOUBT if entity.assertion is Assertion.POSSIBLE else 1.0
    return (entity.probability or 0.5) * telling * doubt


def _piece(note: Note, named: _Named, attributes: Collection[str] = _EVERY_ATTRIBUTE) -> SourcedPhrase:
    """The name with what is stated of it near by in the same sentence: "normal MRI", "aspirin 81 mg"."""
    sentence = note.sentence_at(named.start)
    near = range(max(sentence.start, named.start - _NEAR), min(sentence.end, named.end + _NEAR) + 1)
    said = [
        one
        for one in named.entity.attributes
        if one.kind in attributes and one.start in near and one.end in near
    ]
    start, end = named.start, named.end
    for one in said:
        if one.kind == "value" and one.end < start and not note.text[one.end : start].strip():
            start = one.start
    for one in sorted(said, key=lambda one: one.start):
        between = note.text[end : one.start].lower().strip(" :,=()-").split()
        if len(between) > _MOST_BETWEEN or (one.kind == "value" and not _LINKS.issuperset(between)):
            break
        end = max(end, one.end)
    text = one_line(note.text[start:end])
    is_open = text.count("(") > text.count(")")
    return SourcedPhrase(text[: text.rfind("(")].rstrip(" ,") if is_open else text, sentence)
