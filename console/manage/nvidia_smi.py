"""NVIDIA cards as `nvidia-smi` tells of them, so that looking needs no torch and takes no memory."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

_QUESTION = ("--query-gpu=name,memory.free", "--format=csv,noheader,nounits")


@dataclass(frozen=True, slots=True)
class Card:
    """One GPU."""

    name: str
    free_bytes: int


def nvidia_cards() -> tuple[Card, ...]:
    """In the order of their numbers; none where there is no driver or it does not answer."""
    binary = shutil.which("nvidia-smi")
    if binary is None:
        return ()
    try:
        answer = subprocess.run([binary, *_QUESTION], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(card for line in answer.stdout.splitlines() if (card := _card(line)) is not None)


def _card(line: str) -> Card | None:
    """e.g. `NVIDIA GeForce RTX 3060 Ti, 7854`, in MiB; some cards say [N/A]."""
    name, _, free = line.rpartition(",")
    return Card(name.strip(), int(free) * 2**20) if free.strip().isdigit() else None
