"""What answering costs: seconds by activity and tokens by kind, added up over any number of workers.

Only numbers: who measures is `worker.telemetry.usage_meter`, which run pays is `models.store.usage`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from itertools import accumulate, pairwise
from operator import add, sub


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Every field is a sum; of several workers or threads that work side by side, the sum of theirs."""

    load_seconds: float = 0.0
    """Importing the network's libraries and bringing the weights into memory."""

    prefill_seconds: float = 0.0
    """Of the engine's thread: the network reads prompts. A step that also writes is divided by its tokens."""
    decode_seconds: float = 0.0
    """Of the engine's thread: the network goes on writing."""
    constrain_seconds: float = 0.0
    """Of the engine's thread: it asks grammars what may come next, and advances them."""
    schedule_seconds: float = 0.0
    """Of the engine's thread: between steps it chooses rows, takes tokens, hands out replies."""
    idle_queued_seconds: float = 0.0
    """Of the engine's thread: nobody asks, though notes are in hand or waited less than a second ago."""
    idle_empty_seconds: float = 0.0
    """Of the engine's thread: there is no note to work on."""

    read_seconds: float = 0.0
    """Of the notes' threads: sentences, windows, prompts, tokens."""
    compile_seconds: float = 0.0
    """Of the notes' threads: grammars made ready."""
    wait_seconds: float = 0.0
    """Of the notes' threads: they wait for the engine; with a full batch nearly all of their time."""
    ground_seconds: float = 0.0
    """Of the notes' threads: from replies to answers with their places, or to the next questions."""
    store_seconds: float = 0.0
    """Of the notes' threads: SQL, to claim a note's jobs and to record their outcomes."""

    requests: int = 0
    """Prompts that the engine was asked."""
    steps: int = 0
    """Passes through the network."""
    rows_stepped: int = 0
    """Over all steps the rows that took part."""
    prefill_tokens: int = 0
    """Prompt tokens that the network has read."""
    shared_tokens: int = 0
    """Prompt tokens that needed no reading: another prompt with the same beginning had been read."""
    decided_places: int = 0
    """Places at which label words were compared instead of anything being written."""
    decoded_tokens: int = 0
    """Written tokens that the network chose, one by one."""
    forced_tokens: int = 0
    """Written tokens that a grammar left no choice about."""
    proposed_tokens: int = 0
    """Tokens looked up in the prompt as a guess at what comes next."""
    accepted_tokens: int = 0
    """Of the proposed: those that the network chose as well; each saved a step."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(**dict(zip(USAGE_FIELDS, map(add, astuple(self), astuple(other)), strict=True)))

    def __sub__(self, other: Usage) -> Usage:
        return Usage(**dict(zip(USAGE_FIELDS, map(sub, astuple(self), astuple(other)), strict=True)))

    def divided(self, weights: Sequence[int]) -> list[Usage]:
        """Parts in proportion of the weights, whose sum is the whole to the last token."""
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
        """Of the engine's thread, idle or not."""
        return self.engine_owed_seconds + self.idle_empty_seconds

    @property
    def engine_owed_seconds(self) -> float:
        """Of the engine's thread while there were notes to work on."""
        computing = self.prefill_seconds + self.decode_seconds + self.constrain_seconds
        return computing + self.schedule_seconds + self.idle_queued_seconds

    @property
    def idle_share(self) -> float:
        """Of the time in which there were notes to work on, 0 to 1: the target is 0.05 at most."""
        return _share(self.idle_queued_seconds, self.engine_owed_seconds)

    @property
    def constrain_share(self) -> float:
        """Of the seconds of decoding: the target is 0.05 at most."""
        return _share(self.constrain_seconds, self.decode_seconds)

    @property
    def shared_share(self) -> float:
        """Of all prompt tokens, those that needed no reading, 0 to 1."""
        return _share(self.shared_tokens, self.shared_tokens + self.prefill_tokens)

    @property
    def rows_a_step(self) -> float:
        """How full the batch was."""
        return _share(self.rows_stepped, self.steps)


USAGE_FIELDS = tuple(field.name for field in fields(Usage))
"""In the order in which they are told."""


@dataclass(frozen=True, slots=True)
class RunUsage:
    """What workers have spent on a run so far."""

    usage: Usage
    updated_at: datetime | None
    """When one of them last said so; none: nobody has worked on it yet."""


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
