"""Report of `train prepare`: what was kept and dropped, as Markdown with samples of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHOWN = 600
"""Characters of a sample."""


def as_markdown(facts: Mapping[str, Any], samples: Mapping[str, list[str]]) -> str:
    """The report of `training.data.prepare`."""
    parts = [
        "# Prepared training data",
        f"sha256 {facts['sha256']}, seed {facts['seed']}, {facts['seconds']} s.",
        f"{sum(facts['rows'].values()):,} rows: {sum(facts['kept'].values()):,} kept,"
        f" {sum(facts['dropped'].values()):,} dropped, {sum(facts['broken'].values()):,} broken."
        f" Of the kept rows {facts['train']:,} are for training and {facts['validation']:,} for validation.",
        _held_out(facts["held_out"]),
    ]
    for title, name in (
        ("Rows by file", "rows"),
        ("Kept by kind", "kept"),
        ("Dropped", "dropped"),
        ("Broken", "broken"),
        ("Origins of conversations, before any was dropped", "origins"),
        ("Turns of conversations", "turns"),
    ):
        if facts[name]:
            parts.append(
                f"## {title}\n\n" + "\n".join(f"- {key}: {count:,}" for key, count in facts[name].items())
            )
    for name, texts in samples.items():
        parts.append(f"## Samples: {name}\n\n" + "\n\n".join(map(_quoted, texts)))
    return "\n\n".join(parts) + "\n"


def _held_out(held: Mapping[str, Any]) -> str:
    if not held["files"]:
        return "Not checked against any evaluation set: none was given (`--held-out`)."
    return (
        f"No kept text overlaps one of the {held['texts']:,} held-out texts of {', '.join(held['files'])}"
        " (compared by runs of 13 words)."
    )


def _quoted(text: str) -> str:
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + " …"
    return "\n".join(f"> {line}" for line in shown.splitlines())
