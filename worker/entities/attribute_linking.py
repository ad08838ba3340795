"""Attribute linking: attaches attributes to their entities, those found by pattern before tagged ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from models.answers import Attribute, Entity
from models.labels import Label
from worker.entities.attribute_patterns import LEADING_WORDS, attributes_by_pattern
from worker.note.parsed_note import Note

_TaggedAttribute = tuple[int, int, str]
"""Start, end and label of a tagged attribute."""


def link_attributes(
    note: Note, entities: Sequence[Entity], tagged: Sequence[_TaggedAttribute], labels: Sequence[Label]
) -> tuple[Entity, ...]:
    """The entities, each with its attributes in order; tagged attributes without an entity are dropped."""
    owner_of = {label.name: label.attribute_of for label in labels if label.attribute_of}
    attributes_of: dict[int, list[Attribute]] = defaultdict(list)
    for index, attribute in _matched_by_pattern(note, entities, labels):
        attributes_of[index].append(attribute)
    taken = [(attribute.start, attribute.end) for linked in attributes_of.values() for attribute in linked]
    for start, end, kind in tagged:
        owner = _owner(note, entities, start, end, owner_of[kind])
        if owner is not None and all(end <= first or last <= start for first, last in taken):
            attributes_of[owner].append(Attribute(start=start, end=end, text=note.text[start:end], kind=kind))
    return tuple(
        entity.model_copy(
            update={"attributes": tuple(sorted(attributes_of[index], key=lambda attribute: attribute.start))}
        )
        for index, entity in enumerate(entities)
    )


def _matched_by_pattern(
    note: Note, entities: Sequence[Entity], labels: Sequence[Label]
) -> list[tuple[int, Attribute]]:
    by_sentence: dict[int, list[int]] = defaultdict(list)
    for index, entity in enumerate(entities):
        by_sentence[note.sentence_at(entity.start).start].append(index)
    pairs = []
    for start, indexes in by_sentence.items():
        sentence = note.sentence_at(start)
        inside = [entities[index] for index in indexes]
        text = note.text[sentence.start : sentence.end]
        matched = attributes_by_pattern(text, sentence.start, inside, labels)
        pairs += [(indexes[position], attribute) for position, attribute in matched]
    return pairs


def _owner(note: Note, entities: Sequence[Entity], start: int, end: int, label: str) -> int | None:
    """The index of the entity with `label` in the sentence that owns the attribute.

    The entity right after the attribute ("infusion of X"), otherwise the nearest before it, otherwise the
    nearest after it.
    """
    sentence = note.sentence_at(start)
    inside = [
        (index, entity)
        for index, entity in enumerate(entities)
        if entity.label == label and sentence.start <= entity.start and entity.end <= sentence.end
    ]
    before = [index for index, entity in inside if entity.end <= start]
    after = [index for index, entity in inside if entity.start >= end]
    if after and LEADING_WORDS.fullmatch(note.text[end : entities[after[0]].start]):
        return after[0]
    return before[-1] if before else after[0] if after else None
