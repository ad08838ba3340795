"""Links attributes to their entities: those known by pattern first, then those that were tagged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from models.answers import Attribute, Entity
from models.labels import Label
from worker.entities.attribute_patterns import LEADING_WORDS, attributes_by_pattern
from worker.note.parsed_note import Note

_Decided = tuple[int, int, str]
"""Start, end and label of a tagged attribute."""


def link_attributes(
    note: Note, entities: Sequence[Entity], decided: Sequence[_Decided], labels: Sequence[Label]
) -> tuple[Entity, ...]:
    """The entities, each with its attributes in order; a tagged attribute without an owner is left out."""
    owner_of = {label.name: label.attribute_of for label in labels if label.attribute_of}
    found: dict[int, list[Attribute]] = defaultdict(list)
    for index, attribute in _by_form(note, entities, labels):
        found[index].append(attribute)
    taken = [(one.start, one.end) for some in found.values() for one in some]
    for start, end, kind in decided:
        owner = _owner(note, entities, start, end, owner_of[kind])
        if owner is not None and all(end <= first or last <= start for first, last in taken):
            found[owner].append(Attribute(start=start, end=end, text=note.text[start:end], kind=kind))
    return tuple(
        entity.model_copy(update={"attributes": tuple(sorted(found[index], key=lambda one: one.start))})
        for index, entity in enumerate(entities)
    )


def _by_form(note: Note, entities: Sequence[Entity], labels: Sequence[Label]) -> list[tuple[int, Attribute]]:
    by_sentence: dict[int, list[int]] = defaultdict(list)
    for index, entity in enumerate(entities):
        by_sentence[note.sentence_at(entity.start).start].append(index)
    pairs = []
    for start, indexes in by_sentence.items():
        sentence = note.sentence_at(start)
        inside = [entities[index] for index in indexes]
        found = attributes_by_pattern(
            note.text[sentence.start : sentence.end], sentence.start, inside, labels
        )
        pairs += [(indexes[place], attribute) for place, attribute in found]
    return pairs


def _owner(note: Note, entities: Sequence[Entity], start: int, end: int, label: str) -> int | None:
    """The entity of `label` in the sentence right after the attribute ("infusion of X"), otherwise the
    nearest before it, otherwise the nearest after it."""
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
