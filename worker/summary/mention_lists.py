"""Mention lists of extractive summaries: reliable mentions, each once, with its fullest name and attributes.

Names are characters of the note: "pain" is listed as "right upper quadrant pain" where the note writes that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from models.answers import Assertion, Entity
from worker.note.parsed_note import Note
from worker.note.word_boundaries import word_set
from worker.summary.diagnosis_items import fullest_names, is_short
from worker.summary.sourced_phrases import SourcedPhrase, count_words, one_line, within_word_limit

_TOPIC_SECTIONS = frozenset({"diagnoses", "impression", "assessment", "procedure"})
"""Kinds of sections that state the topic of the note."""
_NOT_TAKEN = frozenset({"allergies", "discontinued", "family_history"})
_DISCHARGE_HEADING = re.compile(r"\bdischarge|\btransfer", re.IGNORECASE)
_MIN_LIST_ITEMS = 2
"""Minimum medications of a section that count as a medication list."""
_ALL_ATTRIBUTES = frozenset({"dosage", "frequency", "route", "value"})
_DOSAGE_ONLY = frozenset({"dosage"})
_MAX_DISTANCE = 60
"""Maximum characters between a mention and an attribute that is listed with it."""
_MAX_WORDS_BETWEEN = 4
"""Maximum words between a mention and an attribute that is listed with it: "heart rate in the 100s"."""
_LINK_WORDS = word_set("are at been from in is measured of on only remained remains the to today was were")
"""Words allowed between a test and its value: in "ultrasound had a 0.9 cm cyst" the size is not its value."""
_MIN_PROBABILITY, _MIN_PROBABILITY_IN_FULL = 0.5, 0.25
"""Minimum probability of a listed mention, and of one with several words or in the medication list.

The probability of several words is that of the least probable word, and medication lists are reliable.
"""
_ASSERTED = frozenset({Assertion.PRESENT, Assertion.POSSIBLE})
_DESCRIPTIONS = word_set(
    """
    dilated distended edematous enlarged hypertrophic inflammatory medication medications narrowed osteophytic
    ruptured thickened
    """
)
"""Words that describe a finding without naming it; alone they are neither a problem nor a medication."""
_GENERAL_WORDS = word_set("lesion lesions mass masses pain symptoms tumor tumors")
_GENERAL_WEIGHT = 0.4
"""Weight of a general word relative to a specific one: "tumor" relative to "carcinoma"."""
_DIAGNOSIS_WEIGHT, _POSSIBLE_WEIGHT = 3.0, 0.5
"""Weights of a mention in a topic section, and of a possible one, relative to other mentions."""
_SIDE_WORDS = word_set("acute bilateral chronic left lower right severe upper")
_LOCATION_AFTER = re.compile(
    r"\s(?:in|of|at|to)\s(?:(?:the|his|her|both)\s)?(?:(?:left|right|bilateral|upper|lower)\s)*",
    re.IGNORECASE,
)
_ARTICLES = word_set("a an her his the")
_MIN_PLURAL_LETTERS = 4
"""Maximum letters of a word that ends in s and is not a plural: "gas"."""
_MAX_NAME_WORDS = 8


@dataclass(frozen=True, slots=True)
class _NamedMention:
    """A mention and its name in the note, [start, end): the mention with its body part and side."""

    entity: Entity
    start: int
    end: int
    name: str
    """The name on one line."""


def main_mention(note: Note, entities: Sequence[Entity], label: str, max_words: int) -> list[SourcedPhrase]:
    """The most important mention with this label and at most `max_words`; empty if there is none."""
    groups = _groups(note, entities, label)
    short_groups = [group for group in _fullest_groups(groups) if len(group[0].name.split()) <= max_words]
    if not short_groups:
        return []
    first = max(short_groups, key=lambda group: _weight(note, group))[0]
    return [SourcedPhrase(first.name, note.sentence_at(first.start))]


def mention_list(note: Note, entities: Sequence[Entity], label: str, max_words: int) -> list[SourcedPhrase]:
    """The most important mentions with this label that fit into `max_words`, in the order of the note."""
    groups = _fullest_groups(_groups(note, entities, label))
    ranked = sorted(groups, key=lambda group: -_weight(note, group))
    phrases = [
        (group[0].start, _phrase(note, max(group, key=lambda mention: len(mention.entity.attributes))))
        for group in ranked
    ]
    if label == "test":  # a test whose value is too far away to be listed says nothing
        names = {group[0].name.lower() for group in ranked}
        phrases = [(start, phrase) for start, phrase in phrases if phrase.text.lower() not in names]
    return [phrase for _, phrase in sorted(within_word_limit(phrases, max_words), key=lambda pair: pair[0])]


def medication_list(note: Note, entities: Sequence[Entity], max_words: int) -> list[SourcedPhrase]:
    """The medication list of the note, otherwise its most important medications, in at most `max_words`.

    Attributes other than the dosage are dropped if the list does not fit with them.
    """
    candidates = [
        entity
        for entity in entities
        if entity.label == "medication" and note.section_at(entity.start).kind not in _NOT_TAKEN
    ]
    in_list = [entity for entity in candidates if note.section_at(entity.start).kind == "medications"]
    at_discharge = [
        entity for entity in in_list if _DISCHARGE_HEADING.search(note.section_at(entity.start).title)
    ]
    if len(groups := _groups(note, at_discharge or in_list, "medication")) < _MIN_LIST_ITEMS:
        return mention_list(note, candidates, "medication", max_words)
    for attributes in (_ALL_ATTRIBUTES, _DOSAGE_ONLY):
        phrases = [_phrase(note, group[0], attributes) for group in groups]
        if sum(map(count_words, phrases)) <= max_words:
            break
    return [
        phrase for _, phrase in within_word_limit(((phrase.source, phrase) for phrase in phrases), max_words)
    ]


def is_in_topic_section(note: Note, entity: Entity) -> bool:
    """True if the entity is in a short section that states the topic of the note."""
    section = note.section_at(entity.start)
    return section.kind in _TOPIC_SECTIONS and is_short(section)


def _groups(note: Note, entities: Sequence[Entity], label: str) -> list[list[_NamedMention]]:
    """Reliable mentions grouped by name, in the order of the note, without groups that the note refutes."""
    anatomy = [entity for entity in entities if entity.label == "anatomy"] if label == "problem" else []
    by_name: dict[str, list[_NamedMention]] = {}
    for entity in entities:
        if entity.label == label and entity.text.lower() not in _DESCRIPTIONS:
            mention = _with_location(note, entity, anatomy)
            by_name.setdefault(_key(mention.name), []).append(mention)
    groups = [
        [mention for mention in group if _is_reliable(note, mention.entity)]
        for group in by_name.values()
        if not _is_refuted(group)
    ]
    return [group for group in groups if group]


def _is_refuted(group: Sequence[_NamedMention]) -> bool:
    """True if the last mention and at least half of all mentions are negated: "referred for glaucoma", and
    later "does not have glaucoma"."""
    negated = [mention.entity.assertion is Assertion.NEGATED for mention in group]
    return negated[-1] and 2 * sum(negated) >= len(negated)


def _is_reliable(note: Note, entity: Entity) -> bool:
    """True if the mention is probable and asserted; a test also needs a value."""
    is_in_medication_list = note.section_at(entity.start).kind == "medications"
    is_in_full = len(entity.text.split()) > 1 or (is_in_medication_list and entity.label == "medication")
    min_probability = _MIN_PROBABILITY_IN_FULL if is_in_full else _MIN_PROBABILITY
    is_probable = entity.probability is None or entity.probability >= min_probability
    return (
        is_probable and entity.assertion in _ASSERTED and (entity.label != "test" or bool(entity.attributes))
    )


def _key(name: str) -> str:
    """The key of a name, equal for "tear of the meniscus" and "tears of meniscus"."""
    words = [word for word in name.lower().split() if word not in _ARTICLES]
    return " ".join(word.removesuffix("s") if len(word) > _MIN_PLURAL_LETTERS else word for word in words)


def _with_location(note: Note, entity: Entity, anatomy: Sequence[Entity]) -> _NamedMention:
    """Extends a mention by the body part before or after it and by its side: "pain in the right arm"."""
    start, end = entity.start, entity.end
    for part in reversed(anatomy):
        if part.end < start and not note.text[part.end : start].strip():
            start = part.start
    if location := _LOCATION_AFTER.match(note.text, end):
        end = next((part.end for part in anatomy if part.start == location.end()), end)
    sentence = note.sentence_at(entity.start)
    before = note.text[sentence.start : start]
    while (words := before.split()) and words[-1].lower() in _SIDE_WORDS:
        before = before[: before.rindex(words[-1])]
        start = sentence.start + len(before)
    name = one_line(note.text[start:end])
    if len(name.split()) > _MAX_NAME_WORDS or start < sentence.start or end > sentence.end:
        start, end, name = entity.start, entity.end, one_line(entity.text)
    return _NamedMention(entity, start, end, name)


def _fullest_groups(groups: Sequence[list[_NamedMention]]) -> list[list[_NamedMention]]:
    """The groups whose name is not contained in the name of another group."""
    names = fullest_names([group[0].name for group in groups])
    return [group for group in groups if group[0].name in names]


def _weight(note: Note, group: Sequence[_NamedMention]) -> float:
    """The importance of a group: grows with its mentions, their sections and the words of the name."""
    total = sum(_mention_weight(note, mention.entity) for mention in group)
    name = group[0].entity.text
    return total * math.sqrt(len(name.split())) * (_GENERAL_WEIGHT if name.lower() in _GENERAL_WORDS else 1.0)


def _mention_weight(note: Note, entity: Entity) -> float:
    section_weight = _DIAGNOSIS_WEIGHT if is_in_topic_section(note, entity) else 1.0
    assertion_weight = _POSSIBLE_WEIGHT if entity.assertion is Assertion.POSSIBLE else 1.0
    return (entity.probability or 0.5) * section_weight * assertion_weight


def _phrase(
    note: Note, mention: _NamedMention, attributes: Collection[str] = _ALL_ATTRIBUTES
) -> SourcedPhrase:
    """The name with its attributes nearby in the same sentence: "normal MRI", "aspirin 81 mg"."""
    sentence = note.sentence_at(mention.start)
    near = range(
        max(sentence.start, mention.start - _MAX_DISTANCE), min(sentence.end, mention.end + _MAX_DISTANCE) + 1
    )
    near_attributes = [
        attribute
        for attribute in mention.entity.attributes
        if attribute.kind in attributes and attribute.start in near and attribute.end in near
    ]
    start, end = mention.start, mention.end
    for attribute in near_attributes:
        is_value = attribute.kind == "value"
        if is_value and attribute.end < start and not note.text[attribute.end : start].strip():
            start = attribute.start
    for attribute in sorted(near_attributes, key=lambda attribute: attribute.start):
        between = note.text[end : attribute.start].lower().strip(" :,=()-").split()
        is_unrelated = attribute.kind == "value" and not _LINK_WORDS.issuperset(between)
        if len(between) > _MAX_WORDS_BETWEEN or is_unrelated:
            break
        end = max(end, attribute.end)
    text = one_line(note.text[start:end])
    is_open = text.count("(") > text.count(")")
    return SourcedPhrase(text[: text.rfind("(")].rstrip(" ,") if is_open else text, sentence)
