"""One thing that the doctor looked at. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing, and how it is."""

    name: str
    is_ok: bool
    found: str
    todo: str = ""
    """What to type; empty where nothing is to be done."""
    is_blocking: bool = True
    """Whether `run` would stop at it; asked only where it is not ok."""
