"""Links: dosage, frequency and route to their medication; values to their test are told apart.

Two figures: `given`, where the gold spans are handed over and only the linking is judged, and the whole
way through the worker, where both spans have to be found too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from models.answers import Answer, EntitiesAnswer, Entity, Task
from models.jobs import Question
from models.labels import Label
from training.evaluation.cases import Case, CaseMark, Side
from training.evaluation.evaluation_result import Result
from training.evaluation.metrics.counts import Counts, figures
from training.evaluation.pipeline_runner import PipelineRunner
from training.evaluation.records.evaluation_data import Record, names_here, wants
from worker.entities.entity_task import entities_of
from worker.entities.window_tagging import Mention
from worker.note.parsed_note import Note

_OWNER = "medication"


class Link(NamedTuple):
    """An attribute's characters, its kind, and the characters of its entity."""

    start: int
    end: int
    kind: str
    owner_start: int
    owner_end: int


def evaluate(
    records: Sequence[Record], path: Path, given: Mapping[str, str], asking: PipelineRunner
) -> Result:
    """Requests entities for every record's text. The top metrics are end to end."""
    wants(records, path, "text entities relations")
    names = names_here(records, given, [label.name for label in asking.labels])
    owner_of = {label.name: label.attribute_of for label in asking.labels if label.attribute_of}
    gold = [gold_links(record, names, owner_of) for record in records]
    handed = [links_of(_linked(record, names, asking.labels)) for record in records]
    answers = asking.ask([r["text"] for r in records], [Question(task=Task.ENTITIES)] * len(records))
    found = [links_of(_entities(answer)) for answer in answers.answers]
    kinds = [name for name, owner in owner_of.items() if owner == _OWNER]
    measured = measure(found, gold, kinds)
    measured["given"] = measure(handed, gold, kinds)
    measured |= answers.figures()
    cases = [_case(*one) for one in zip(records, handed, gold, strict=True)]
    return Result(measured, cases)


def gold_links(record: Record, names: Mapping[str, str], owner_of: Mapping[str, str]) -> set[Link]:
    """Relations from an attribute to an entity of its label."""
    entities = record["entities"]
    links = set()
    for relation in record["relations"]:
        attribute, owner = entities[relation["from"]], entities[relation["to"]]
        kind, label = names.get(attribute["label"], ""), names.get(owner["label"], "")
        if label and owner_of.get(kind) == label:
            links.add(Link(attribute["start"], attribute["end"], kind, owner["start"], owner["end"]))
    return links


def links_of(entities: Iterable[Entity]) -> set[Link]:
    """The links of an answer."""
    return {Link(a.start, a.end, a.kind, one.start, one.end) for one in entities for a in one.attributes}


def strict(found: set[Link], gold: set[Link]) -> Counts:
    """Counts links whose spans both match exactly."""
    right = len(found & gold)
    return Counts(right, len(found), right, len(gold))


def overlap(found: set[Link], gold: set[Link]) -> Counts:
    """Counts links that share characters with both spans of a gold link of their kind."""
    found_right = sum(any(_touch(one, other) for other in gold) for one in found)
    gold_right = sum(any(_touch(one, other) for other in found) for one in gold)
    return Counts(found_right, len(found), gold_right, len(gold))


def measure(found: Sequence[set[Link]], gold: Sequence[set[Link]], kinds: Sequence[str]) -> dict[str, Any]:
    """Micro metrics over `kinds`; by label over all gold kinds."""
    present = sorted({one.kind for some in gold for one in some})
    return {
        **_figures(found, gold, kinds),
        "by_label": {
            kind: _figures(found, gold, [kind]) | {"links": sum(len(_of(g, [kind])) for g in gold)}
            for kind in present
        },
    }


def _figures(found: Sequence[set[Link]], gold: Sequence[set[Link]], kinds: Sequence[str]) -> dict[str, Any]:
    pairs = [(_of(f, kinds), _of(g, kinds)) for f, g in zip(found, gold, strict=True)]
    judged = [_less_parts(f, whole) for (f, _), whole in zip(pairs, gold, strict=True)]
    return {
        "strict": figures([strict(*pair) for pair in pairs]),
        "overlap": figures([overlap(f, g) for f, (_, g) in zip(judged, pairs, strict=True)]),
    }


def _of(links: set[Link], kinds: Sequence[str]) -> set[Link]:
    return {one for one in links if one.kind in kinds}


def _touch(one: Link, other: Link) -> bool:
    return (
        one.kind == other.kind
        and one.start < other.end
        and other.start < one.end
        and one.owner_start < other.owner_end
        and other.owner_start < one.owner_end
    )


def _less_parts(found: set[Link], gold: set[Link]) -> set[Link]:
    """Links without those inside a gold one of another kind; MACCROBAT has "50 mg daily"."""
    return {one for one in found if not any(_is_part(one, other) for other in gold)}


def _is_part(one: Link, gold: Link) -> bool:
    is_inside = gold.start <= one.start and one.end <= gold.end
    return is_inside and one.kind != gold.kind and _touch(one._replace(kind=gold.kind), gold)


def _linked(record: Record, names: Mapping[str, str], labels: Sequence[Label]) -> tuple[Entity, ...]:
    note = Note.of(record["text"], len, 1, 1)
    mentions = [
        Mention(one["start"], one["end"], names[one["label"]], None)
        for one in record["entities"]
        if one["label"] in names
    ]
    return entities_of(note, mentions, labels)


def _entities(answer: Answer | None) -> tuple[Entity, ...]:
    return answer.entities if isinstance(answer, EntitiesAnswer) else ()


def _case(record: Record, found: set[Link], gold: set[Link]) -> Case:
    text = record["text"]
    remarks = [f"missed: {_said(text, one)}" for one in sorted(gold - found)]
    remarks += [f"wrong: {_said(text, one)}" for one in sorted(found - gold)]
    return Case(
        title=str(record.get("id", "")),
        gold=Side(text, _marks(gold, found)),
        found=Side(text, _marks(found, gold)),
        errors=len(remarks),
        remarks=tuple(remarks),
    )


def _marks(links: set[Link], others: set[Link]) -> tuple[CaseMark, ...]:
    return tuple(CaseMark(one.start, one.end, one.kind, one in others) for one in sorted(links))


def _said(text: str, link: Link) -> str:
    return f"{link.kind} {text[link.start : link.end]!r} of {text[link.owner_start : link.owner_end]!r}"
