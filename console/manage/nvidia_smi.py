"""NVIDIA cards as `nvidia-smi` lists them; needs no torch and takes no memory."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

_QUESTION = ("--query-gpu=name,memory.free", "--format=csv,noheader,nounits")


@dataclass(frozen=True, slots=True)
class NvidiaCard:
    """One GPU."""

    name: str
    free_bytes: int


def nvidia_cards() -> tuple[NvidiaCard, ...]:
    """The cards in the order of their numbers; none without a driver."""
    binary = shutil.which("nvidia-smi")
    if binary is None:
        return ()
    try:
        answer = subprocess.run([binary, *_QUESTION], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(card for line in answer.stdout.splitlines() if (card := _card(line)) is not None)


def _card(line: str) -> NvidiaCard | None:
    """A card from a line such as `NVIDIA GeForce RTX 3060 Ti, 7854`, in MiB; some cards say [N/A]."""
    name, _, free = line.rpartition(",")
    return NvidiaCard(name.strip(), int(free) * 2**20) if free.strip().isdigit() else None
