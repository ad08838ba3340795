"""Evaluation of links: dosage, frequency and route to their medication; `by_label` also value to test.

Two sets of metrics: `given` links the gold spans, so that only linking can fail; the others are end to end:
the worker has to find both spans too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from models.answers import Answer, EntitiesAnswer, Entity, Task
from models.jobs import Question
from models.labels import Label
from training.evaluation.cases import Case, Highlight, Side
from training.evaluation.evaluation_result import Result
from training.evaluation.metrics.counts import Counts, figures
from training.evaluation.pipeline_runner import PipelineRunner
from training.evaluation.records.evaluation_data import Record, label_mapping, require_fields
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
    records: Sequence[Record], path: Path, label_map: Mapping[str, str], runner: PipelineRunner
) -> Result:
    """Requests entities for every record's text. The top metrics are end to end."""
    require_fields(records, path, "text entities relations")
    names = label_mapping(records, label_map, [label.name for label in runner.labels])
    owner_of = {label.name: label.attribute_of for label in runner.labels if label.attribute_of}
    gold = [gold_links(record, names, owner_of) for record in records]
    links_from_gold_spans = [links_of(_linked(record, names, runner.labels)) for record in records]
    answers = runner.ask([r["text"] for r in records], [Question(task=Task.ENTITIES)] * len(records))
    links = [links_of(_entities(answer)) for answer in answers.answers]
    kinds = [name for name, owner in owner_of.items() if owner == _OWNER]
    measured = measure(links, gold, kinds)
    measured["given"] = measure(links_from_gold_spans, gold, kinds)
    measured |= answers.figures()
    cases = [_case(*case) for case in zip(records, links_from_gold_spans, gold, strict=True)]
    return Result(measured, cases)


def gold_links(record: Record, names: Mapping[str, str], owner_of: Mapping[str, str]) -> set[Link]:
    """Gold links: the relations from an attribute to an entity of the label that it belongs to."""
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
    return {
        Link(attribute.start, attribute.end, attribute.kind, entity.start, entity.end)
        for entity in entities
        for attribute in entity.attributes
    }


def strict(predicted: set[Link], gold: set[Link]) -> Counts:
    """Counts links whose spans both match exactly."""
    right = len(predicted & gold)
    return Counts(right, len(predicted), right, len(gold))


def overlap(predicted: set[Link], gold: set[Link]) -> Counts:
    """Counts links that share characters with both spans of a gold link of their kind."""
    predicted_right = sum(any(_overlaps(link, other) for other in gold) for link in predicted)
    gold_right = sum(any(_overlaps(link, other) for other in predicted) for link in gold)
    return Counts(predicted_right, len(predicted), gold_right, len(gold))


def measure(
    predicted: Sequence[set[Link]], gold: Sequence[set[Link]], kinds: Sequence[str]
) -> dict[str, Any]:
    """Micro metrics over `kinds`; by label over all gold kinds."""
    present = sorted({link.kind for links in gold for link in links})
    return {
        **_figures(predicted, gold, kinds),
        "by_label": {
            kind: _figures(predicted, gold, [kind])
            | {"links": sum(len(_of_kinds(links, [kind])) for links in gold)}
            for kind in present
        },
    }


def _figures(
    predicted: Sequence[set[Link]], gold: Sequence[set[Link]], kinds: Sequence[str]
) -> dict[str, Any]:
    pairs = [(_of_kinds(p, kinds), _of_kinds(g, kinds)) for p, g in zip(predicted, gold, strict=True)]
    without_parts = [_without_parts(p, all_gold) for (p, _), all_gold in zip(pairs, gold, strict=True)]
    return {
        "strict": figures([strict(*pair) for pair in pairs]),
        "overlap": figures([overlap(p, g) for p, (_, g) in zip(without_parts, pairs, strict=True)]),
    }


def _of_kinds(links: set[Link], kinds: Sequence[str]) -> set[Link]:
    return {link for link in links if link.kind in kinds}


def _overlaps(link: Link, other: Link) -> bool:
    return (
        link.kind == other.kind
        and link.start < other.end
        and other.start < link.end
        and link.owner_start < other.owner_end
        and other.owner_start < link.owner_end
    )


def _without_parts(predicted: set[Link], gold: set[Link]) -> set[Link]:
    """The links less those inside a gold link of another kind; MACCROBAT annotates "50 mg daily" as one."""
    return {link for link in predicted if not any(_is_part(link, other) for other in gold)}


def _is_part(link: Link, gold: Link) -> bool:
    is_inside = gold.start <= link.start and link.end <= gold.end
    return is_inside and link.kind != gold.kind and _overlaps(link._replace(kind=gold.kind), gold)


def _linked(record: Record, names: Mapping[str, str], labels: Sequence[Label]) -> tuple[Entity, ...]:
    note = Note.of(record["text"], len, 1, 1)
    mentions = [
        Mention(entity["start"], entity["end"], names[entity["label"]], None)
        for entity in record["entities"]
        if entity["label"] in names
    ]
    return entities_of(note, mentions, labels)


def _entities(answer: Answer | None) -> tuple[Entity, ...]:
    return answer.entities if isinstance(answer, EntitiesAnswer) else ()


def _case(record: Record, predicted: set[Link], gold: set[Link]) -> Case:
    text = record["text"]
    remarks = [f"missed: {_described(text, link)}" for link in sorted(gold - predicted)]
    remarks += [f"wrong: {_described(text, link)}" for link in sorted(predicted - gold)]
    return Case(
        title=str(record.get("id", "")),
        gold=Side(text, _highlights(gold, predicted)),
        predicted=Side(text, _highlights(predicted, gold)),
        errors=len(remarks),
        remarks=tuple(remarks),
    )


def _highlights(links: set[Link], others: set[Link]) -> tuple[Highlight, ...]:
    return tuple(Highlight(link.start, link.end, link.kind, link in others) for link in sorted(links))


def _described(text: str, link: Link) -> str:
    return f"{link.kind} {text[link.start : link.end]!r} of {text[link.owner_start : link.owner_end]!r}"
