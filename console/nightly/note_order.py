"""The order of notes in a nightly run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from models.queries.nightly.nightly_runs import OwedDocument


def ordered(owed: Iterable[OwedDocument], first: Sequence[Mapping[str, Any]], order: str) -> list[int]:
    """Document ids in order: those of the first rule, of the second, …, then all others; each group by date,
    or as read. A note without a date comes after those with one."""
    ranked = sorted(owed, key=lambda document: _rank(document.metadata, first))
    if order == "as read":
        return [document.document_id for document in ranked]
    is_newest = order == "newest"
    by_date = sorted(ranked, key=lambda document: _date(document), reverse=is_newest)
    dated = [document for document in by_date if _date(document)] + [
        document for document in by_date if not _date(document)
    ]
    return [
        document.document_id
        for document in sorted(dated, key=lambda document: _rank(document.metadata, first))
    ]


def _rank(metadata: Mapping[str, Any], first: Sequence[Mapping[str, Any]]) -> int:
    for rank, rule in enumerate(first):
        if all(_is_met(metadata.get(name), wanted) for name, wanted in rule.items()):
            return rank
    return len(first)


def _is_met(value: Any, wanted: Any) -> bool:
    listed = wanted if isinstance(wanted, list) else [wanted]
    return str(value) in map(str, listed)


def _date(owed: OwedDocument) -> str:
    return str(owed.metadata.get("date") or "")
