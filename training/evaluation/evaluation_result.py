"""The result of an evaluation: metrics for tables and programs, cases for the error pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.evaluation.cases import Case


@dataclass(frozen=True, slots=True)
class Result:
    """Metrics and cases. `figures` holds only numbers, names and lists of them, never text of a note."""

    figures: dict[str, Any]
    cases: Sequence[Case]
