"""What a scheduler may plan with: less after the memory ran out, and again what was planned later.

Memory runs out where something else holds some of it for a while, or where the plan was too tight; the
first passes, and the second is found out again at the cost of one failed step in some hundred. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.engine.batching.scheduler import Scheduler

STEPS_UNTIL_MORE = 200
"""Steps without running out of memory after which twice as much is tried."""


@dataclass(slots=True)
class Budget:
    """The plan, and how far a scheduler is from it."""

    max_rows: int
    max_tokens: int
    steps: int = 0
    """Since the last change."""
    is_just_halved: bool = False
    """No step went well since."""

    def halve(self, scheduler: Scheduler) -> None:
        """After the memory ran out."""
        scheduler.max_rows = max(1, scheduler.max_rows // 2)
        scheduler.max_tokens = max(1, scheduler.max_tokens // 2)
        self.steps = 0
        self.is_just_halved = True

    def refused(self) -> None:
        """What did not fit is gone; the next lack of memory is another one's."""
        self.is_just_halved = False

    def went_well(self, scheduler: Scheduler) -> None:
        """After a step that did not run out of memory."""
        self.steps += 1
        self.is_just_halved = False
        if self.steps % STEPS_UNTIL_MORE == 0:
            scheduler.max_rows = min(self.max_rows, scheduler.max_rows * 2)
            scheduler.max_tokens = min(self.max_tokens, scheduler.max_tokens * 2)
