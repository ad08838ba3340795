"""brat standoff: a .txt and an .ann a note, and the annotation.conf that says what may be in them.

https://brat.nlplab.org/standoff.html: offsets are characters of the .txt, end exclusive, as ours are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from exports.file_names import file_name, token
from models.answers import Assertion
from models.queries.note_export import ExportedNote

_LINE = re.compile(r"[^\r\n]+")


def write_brat(notes: Iterable[ExportedNote], folder: Path) -> None:
    """Writes notes with their annotations; notes without entities too, since an empty answer is an answer."""
    labels: dict[str, None] = {}
    kinds: dict[str, None] = {}
    for note in notes:
        path = folder / file_name(note.external_id, note.document_id)
        # Bytes: a written '\n' must not become another line end, nor a '\r\n' one.
        path.with_name(f"{path.name}.txt").write_bytes(note.text.encode("utf-8"))
        lines = "".join(f"{line}\n" for line in _annotations(note, labels, kinds))
        path.with_name(f"{path.name}.ann").write_bytes(lines.encode("utf-8"))
    (folder / "annotation.conf").write_text(_configuration(labels, kinds), "utf-8")


def _annotations(note: ExportedNote, labels: dict[str, None], kinds: dict[str, None]) -> Iterator[str]:
    spans, relations, attributes = 0, 0, 0
    for _, entity in note.items("entities"):
        spans += 1
        mention = f"T{spans}"
        labels[token(entity["label"])] = None
        yield f"{mention}\t{_span(note, entity, entity['label'])}"
        if entity["assertion"] != Assertion.PRESENT:
            attributes += 1
            yield f"A{attributes}\tAssertion {mention} {entity['assertion']}"
        for attribute in entity["attributes"]:
            spans, relations = spans + 1, relations + 1
            kinds[token(attribute["kind"])] = None
            yield f"T{spans}\t{_span(note, attribute, attribute['kind'])}"
            yield f"R{relations}\t{token(attribute['kind'])}_of Arg1:T{spans} Arg2:{mention}"


def _span(note: ExportedNote, span: dict[str, Any], label: str) -> str:
    """The span in brat's form; a mention with a line end is cut there into fragments, joined by a space."""
    fragments = [(line.start(), line.end()) for line in _LINE.finditer(note.text, span["start"], span["end"])]
    offsets = ";".join(f"{start} {end}" for start, end in fragments)
    return f"{token(label)} {offsets}\t{' '.join(note.text[start:end] for start, end in fragments)}"


def _configuration(labels: Iterable[str], kinds: Iterable[str]) -> str:
    entities = "\n".join(dict.fromkeys([*labels, *kinds]))
    relations = "\n".join(f"{kind}_of\tArg1:{kind}, Arg2:<ENTITY>" for kind in kinds)
    values = "|".join(assertion for assertion in Assertion if assertion != Assertion.PRESENT)
    return (
        f"[entities]\n{entities}\n\n[relations]\n{relations}\n<OVERLAP>\tArg1:<ENTITY>, Arg2:<ENTITY>,"
        f" <OVL-TYPE>:<ANY>\n\n[events]\n\n[attributes]\nAssertion\tArg:<ENTITY>, Value:{values}\n"
    )
