"""Label Studio tasks with predictions, to correct there and import again.

https://labelstud.io/guide/predictions: regions of `label` in `text`, and with the same id their assertion.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO
from xml.sax.saxutils import quoteattr

from models.answers import Assertion
from models.queries.note_export import ExportedNote


def write_tasks(notes: Iterable[ExportedNote], file: BinaryIO, labels: dict[str, None]) -> None:
    """Writes one JSON array, a task a line. Adds the labels that occur to `labels`."""
    separator = b"[\n"
    for note in notes:
        for _, entity in note.items("entities"):
            labels[entity["label"]] = None
        file.write(separator + json.dumps(task(note), ensure_ascii=False).encode("utf-8"))
        separator = b",\n"
    file.write(b"[]\n" if separator == b"[\n" else b"\n]\n")


def task(note: ExportedNote) -> dict[str, Any]:
    """A prediction for each recipe that answered."""
    recipes: dict[str, list[dict[str, Any]]] = {}
    for answer, entity in note.items("entities"):
        regions_of_recipe = recipes.setdefault(answer["recipe"], [])
        regions_of_recipe += _regions(entity, f"{answer['recipe']}-{len(regions_of_recipe)}")
    return {
        "data": {"text": one_line_end(note.text), "document": note.external_id},
        "predictions": [
            {"model_version": f"notemill {recipe}", "result": regions} for recipe, regions in recipes.items()
        ],
    }


def configuration(labels: Iterable[str]) -> str:
    """The labeling configuration to paste under Settings, Labeling Interface."""
    values = "".join(f"    <Label value={quoteattr(label)}/>\n" for label in labels)
    choices = "".join(f"    <Choice value={quoteattr(assertion)}/>\n" for assertion in Assertion)
    return (
        f'<View>\n  <Labels name="label" toName="text">\n{values}  </Labels>\n'
        f'  <Text name="text" value="$text" granularity="word"/>\n'
        f'  <Choices name="assertion" toName="text" perRegion="true">\n{choices}  </Choices>\n</View>\n'
    )


def one_line_end(text: str) -> str:
    """Text with line ends of one kind and the same length: Label Studio would merge CR and LF, and shift
    offsets."""
    return text.replace("\r\n", " \n").replace("\r", "\n")


def _regions(entity: dict[str, Any], id_: str) -> Iterator[dict[str, Any]]:
    place = {name: entity[name] for name in ("start", "end", "text")}
    aim = {"id": id_, "to_name": "text"}
    probability = {} if entity["probability"] is None else {"score": entity["probability"]}
    yield aim | {
        "from_name": "label",
        "type": "labels",
        "value": {**place, "labels": [entity["label"]]},
        **probability,
    }
    yield aim | {
        "from_name": "assertion",
        "type": "choices",
        "value": {**place, "choices": [entity["assertion"]]},
    }
