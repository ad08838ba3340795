"""The result of one check of `notemill doctor`. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its result."""

    name: str
    is_ok: bool
    found: str
    todo: str = ""
    """What to type; empty where nothing is to be done."""
    is_blocking: bool = True
    """True where `run` would stop at it; meaningful only where the check is not ok."""
