"""Sample of a run: its first notes, one line each, for a quick check of the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any


@dataclass(frozen=True, slots=True)
class NoteSample:
    """Counts of one note's answers."""

    document_id: int
    external_id: str
    title: str | None
    """The title of its summary; None without one."""
    flagged_sentences: int = 0
    entities: dict[str, int] = field(default_factory=dict)
    """Counts by label, the most frequent first."""
    passages: int | None = None
    """Passages over all queries; None where nothing was searched."""
    failures: tuple[str, ...] = ()
    """Task and reason of each failed job."""


def samples(results: Iterable[dict[str, Any]], count: int) -> list[NoteSample]:
    """The first `count` notes of results that come in the order of the notes."""
    by_note = groupby(results, key=lambda result: result["document_id"])
    return [_sample(list(jobs)) for _, jobs in islice(by_note, count)]


def _sample(jobs: list[dict[str, Any]]) -> NoteSample:
    labels = Counter(entity["label"] for entity in _items(jobs, "entities"))
    summary = next((job["summary"] for job in jobs if job.get("summary")), None)
    is_searched = any("passages" in job for job in jobs)
    return NoteSample(
        document_id=jobs[0]["document_id"],
        external_id=jobs[0]["external_id"],
        title=summary["title"] if summary else None,
        flagged_sentences=sum(bool(sentence["flags"]) for sentence in summary["sentences"]) if summary else 0,
        entities=dict(labels.most_common()),
        passages=sum(1 for _ in _items(jobs, "passages")) if is_searched else None,
        failures=tuple(f"{job['task']}: {job['reason']}" for job in jobs if job["status"] == "failed"),
    )


def _items(jobs: list[dict[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    for job in jobs:
        yield from job.get(name) or ()
