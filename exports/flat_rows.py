"""Flat rows of a job's answer, for spreadsheets. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

COLUMNS = (
    *("external_id", "document_id", "run", "task", "query", "max_words", "status", "reason", "recipe"),
    *("created_at", "finished_at", "duration_seconds"),
    *("item", "position", "start", "end", "text", "label", "assertion", "score", "section", "flags"),
    *("belongs_to", "sources"),
)
"""`item` is entity, attribute, passage or sentence; `belongs_to` the position of an attribute's entity;
`sources` the note sentences that a summary sentence rests on, as start-end pairs."""

_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Characters that begin a formula in Excel, LibreOffice and Google Sheets (OWASP, "CSV Injection")."""


def rows_of(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One row for each item of the answer; one row without an item where there is none."""
    job = {name: result[name] for name in COLUMNS if name in result}
    job |= {name: result["parameters"].get(name) for name in ("query", "max_words")}
    items = [*_entities(result), *_passages(result), *_sentences(result)]
    for item in items or [{}]:
        yield {name: harmless_cell(value) for name, value in {**job, **item}.items()}


def harmless_cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula, after an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_STARTS_A_FORMULA) else value


def _entities(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for position, entity in enumerate(result.get("entities", ())):
        place = {name: entity[name] for name in ("start", "end", "text", "label", "assertion")}
        yield {"item": "entity", "position": position, **place, "score": entity["probability"]}
        for attribute in entity["attributes"]:
            place = {name: attribute[name] for name in ("start", "end", "text")}
            yield {"item": "attribute", "label": attribute["kind"], "belongs_to": position, **place}


def _passages(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for position, passage in enumerate(result.get("passages", ())):
        yield {"item": "passage", "position": position, **passage}


def _sentences(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for position, sentence in enumerate(result.get("summary", {}).get("sentences", ())):
        sources = " ".join(f"{source['start']}-{source['end']}" for source in sentence["sources"])
        yield {
            "item": "sentence",
            "position": position,
            "text": sentence["text"],
            "section": sentence["section"],
            "flags": ",".join(sentence["flags"]),
            "sources": sources,
        }
