"""Checkpoints: the whole state of a run on disk, so that a killed run continues with the same losses.

A file is renamed when it is complete, so that no partial checkpoint is read. The last two are kept.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from models.errors import UsageError

_KEPT = 2


class OtherRunError(UsageError):
    """The folder holds a run of another recipe, other data or other weights."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} holds a run of another recipe, other data or other weights: take another --output, or"
            " --restart to throw that one away"
        )


class Checkpoints:
    """The checkpoints of one run, identified by its fingerprint."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._folder = folder
        self._fingerprint = fingerprint

    def save(
        self, step: int, network: Any, optimizer: torch.optim.Optimizer, progress: dict[str, Any]
    ) -> None:
        """Saves the state. `progress`: further plain values of the loop."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = {
            "fingerprint": self._fingerprint,
            "step": step,
            "adapter": {name: weight.detach().cpu() for name, weight in _trained(network)},
            "optimizer": optimizer.state_dict(),
            "chance": torch.get_rng_state(),
            "chance_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "progress": progress,
        }
        scratch = self._folder / ".writing"
        with scratch.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        scratch.rename(self._folder / f"step-{step:07d}.pt")
        for old in self._saved()[:-_KEPT]:
            old.unlink()

    def restore(self, network: Any, optimizer: torch.optim.Optimizer) -> tuple[int, dict[str, Any]] | None:
        """Restores the last state; returns step and progress, or None. Raises OtherRunError."""
        saved = self._saved()
        if not saved:
            return None
        state = torch.load(saved[-1], map_location="cpu", weights_only=True)
        if state["fingerprint"] != self._fingerprint:
            raise OtherRunError(self._folder.parent)
        with torch.no_grad():
            for name, weight in _trained(network):
                weight.copy_(state["adapter"][name])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["chance"])
        if state["chance_cuda"]:
            torch.cuda.set_rng_state_all(state["chance_cuda"])
        return int(state["step"]), state["progress"]

    def _saved(self) -> list[Path]:
        return sorted(self._folder.glob("step-*.pt"))


def _trained(network: Any) -> list[tuple[str, Any]]:
    return [(name, weight) for name, weight in network.named_parameters() if weight.requires_grad]
