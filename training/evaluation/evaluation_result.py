"""The result of an evaluation: metrics for programs and tables, cases for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.evaluation.cases import Case


@dataclass(frozen=True, slots=True)
class Result:
    """`figures` holds only numbers, names and lists of them: nothing of a note's text."""

    figures: dict[str, Any]
    cases: Sequence[Case]
