"""Removes messages of erased documents from the queue. They hold ids only, and would do nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Set
from typing import Any, cast

from console.processes import redis_client
from models.messages import PRIORITY_STEPS, QUEUE_NAME

_ENTRIES_A_PAGE = 1_000
_PRIORITY_SEPARATOR = "\x06\x16"
"""Separator with which kombu names the lists of one queue by priority."""


def withdraw(redis_url: str, document_ids: Set[int]) -> int | None:
    """Returns the number of removed messages; None where no server answers."""
    if not document_ids:
        return 0
    client = redis_client.connect(redis_url)
    try:
        return sum(_from_list(client, name, document_ids) for name in _lists())
    except redis_client.UNREACHABLE:
        return None
    finally:
        client.close()


def _lists() -> list[str]:
    return [f"{QUEUE_NAME}{_PRIORITY_SEPARATOR}{step}" if step else QUEUE_NAME for step in PRIORITY_STEPS]


def _from_list(client: Any, name: str, document_ids: Set[int]) -> int:
    removed, start = 0, 0
    while page := cast("list[bytes]", client.lrange(name, start, start + _ENTRIES_A_PAGE - 1)):
        entries = [entry for entry in page if _document_of(entry) in document_ids]
        for entry in entries:
            removed += client.lrem(name, 1, entry)
        start += len(page) - len(entries)
    return removed


def _document_of(entry: bytes) -> int | None:
    try:
        return int(json.loads(base64.b64decode(json.loads(entry)["body"]))[1]["document_id"])
    except (ValueError, LookupError, TypeError):
        return None
