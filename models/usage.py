"""Usage: seconds by activity and tokens by kind, summed over any number of workers.

`worker.telemetry.usage_meter` measures it; `models.store.usage` adds it to runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from itertools import accumulate, pairwise
from operator import add, sub


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Sums over all workers and threads; concurrent threads add up."""

    load_seconds: float = 0.0
    """Import of the network's libraries and loading of the weights."""

    prefill_seconds: float = 0.0
    """Engine thread: prefill of prompts. A step that also decodes is divided in proportion to its tokens."""
    decode_seconds: float = 0.0
    """Engine thread: decoding."""
    constrain_seconds: float = 0.0
    """Engine thread: computing grammar masks and advancing grammars."""
    schedule_seconds: float = 0.0
    """Engine thread: between steps it selects rows, samples tokens and delivers replies."""
    idle_queued_seconds: float = 0.0
    """Engine thread: no request, although notes are in progress or waited less than a second ago."""
    idle_empty_seconds: float = 0.0
    """Engine thread: no note to work on."""

    read_seconds: float = 0.0
    """Note threads: sentences, windows, prompts, tokens."""
    compile_seconds: float = 0.0
    """Note threads: compiling grammars."""
    wait_seconds: float = 0.0
    """Note threads: waiting for the engine; with a full batch nearly all of their time."""
    ground_seconds: float = 0.0
    """Note threads: turning replies into grounded answers or into the next requests."""
    store_seconds: float = 0.0
    """Note threads: SQL to claim a note's jobs and to record their outcomes."""

    requests: int = 0
    """Prompts sent to the engine."""
    steps: int = 0
    """Forward passes of the network."""
    rows_stepped: int = 0
    """Rows of all steps together."""
    prefill_tokens: int = 0
    """Prompt tokens that the network prefilled."""
    shared_tokens: int = 0
    """Prompt tokens that the prefix cache supplied."""
    decided_places: int = 0
    """Positions at which label words were scored; nothing is generated there."""
    decoded_tokens: int = 0
    """Generated tokens that the network chose."""
    forced_tokens: int = 0
    """Generated tokens for which the grammar left one choice."""
    proposed_tokens: int = 0
    """Draft tokens that were looked up in the prompt."""
    accepted_tokens: int = 0
    """Draft tokens that the network accepted; each saved a step."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(**dict(zip(USAGE_FIELDS, map(add, astuple(self), astuple(other)), strict=True)))

    def __sub__(self, other: Usage) -> Usage:
        return Usage(**dict(zip(USAGE_FIELDS, map(sub, astuple(self), astuple(other)), strict=True)))

    def divided(self, weights: Sequence[int]) -> list[Usage]:
        """Parts in proportion to the weights; their sum is exactly the whole."""
        total = sum(weights)
        reached = [self._part(weight, total) for weight in (0, *accumulate(weights))]
        return [after - before for before, after in pairwise(reached)]

    def _part(self, weight: int, total: int) -> Usage:
        amounts = zip(USAGE_FIELDS, astuple(self), strict=True)
        return Usage(
            **{
                name: whole * weight // total if isinstance(whole, int) else whole * (weight / total)
                for name, whole in amounts
            }
        )

    @property
    def engine_seconds(self) -> float:
        """Seconds of the engine thread, idle or not."""
        return self.engine_owed_seconds + self.idle_empty_seconds

    @property
    def engine_owed_seconds(self) -> float:
        """Seconds of the engine thread while there were notes to work on."""
        computing = self.prefill_seconds + self.decode_seconds + self.constrain_seconds
        return computing + self.schedule_seconds + self.idle_queued_seconds

    @property
    def idle_share(self) -> float:
        """The idle share of `engine_owed_seconds`, 0 to 1; the target is 0.05 at most."""
        return _share(self.idle_queued_seconds, self.engine_owed_seconds)

    @property
    def constrain_share(self) -> float:
        """The share of grammars in the seconds of decoding; the target is 0.05 at most."""
        return _share(self.constrain_seconds, self.decode_seconds)

    @property
    def shared_share(self) -> float:
        """The share of prompt tokens that the prefix cache supplied, 0 to 1."""
        return _share(self.shared_tokens, self.shared_tokens + self.prefill_tokens)

    @property
    def rows_a_step(self) -> float:
        """The mean number of rows in a step."""
        return _share(self.rows_stepped, self.steps)


USAGE_FIELDS = tuple(field.name for field in fields(Usage))
"""The fields in the order in which they are reported."""


@dataclass(frozen=True, slots=True)
class RunUsage:
    """The usage of a run so far."""

    usage: Usage
    updated_at: datetime | None
    """The time when a worker last added to it; None: no worker has yet."""


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
