"""`notemill train join`: fits the ranking model of search, and the negation model, for an adapter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from console.terminal.terminal import stderr, stdout
from models.settings import load_settings


def join_search(adapter: Path, data: Sequence[Path], weights: str | None, limit: int, as_json: bool) -> int:
    """Prints the fitted weights and their metrics on the fitting data. Raises NotemillError."""
    from training.calibration.fit_ranking import join

    settings = load_settings()
    settings = settings.model_copy(update={"weights": weights} if weights else {})
    console = stderr()
    found = join(adapter, data, settings, limit, lambda line: console.print(line, soft_wrap=True))
    if as_json:
        print(json.dumps(found))
        return 0
    for name, one in found["dev"].items():
        stdout().print(
            f"{name}: {one['queries']} queries, MAP {one['map']:.3f}, set F1 {one['set_f1']:.3f}",
            soft_wrap=True,
        )
    stdout().print(f"written to {adapter / 'notemill.json'}", soft_wrap=True)
    return 0
