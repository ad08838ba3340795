"""Forecast of a nightly run before it starts: documents, tokens, hours, and how they were estimated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from console.terminal.terminal import count_of, human_duration
from models.queries.nightly.throughput_rates import ThroughputRates

_TOKENS_A_CHARACTER = 0.25
"""Tokens a character of English notes where no run was measured: the note once, without the questions."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast for documents with owed jobs."""

    documents: int
    characters: int
    rates: ThroughputRates | None

    @property
    def tokens(self) -> int:
        """Tokens that the network reads and writes, over all questions."""
        is_measured = self.rates is not None and self.rates.tokens > 0
        each = self.rates.tokens_a_character if self.rates and is_measured else _TOKENS_A_CHARACTER
        return round(self.characters * each)

    @property
    def seconds(self) -> float | None:
        """Estimated seconds; None where nothing was measured yet."""
        return self.characters / self.rates.characters_a_second if self.rates else None

    def share_by(self, now: datetime, deadline: datetime | None) -> float | None:
        """The share of the work, 0 to 1, that is done by then; None where it is unknown."""
        if deadline is None or not self.seconds:
            return None
        return min(1.0, (deadline - now).total_seconds() / self.seconds)

    def as_object(self, now: datetime, deadline: datetime | None) -> dict[str, object]:
        share = self.share_by(now, deadline)
        return {
            "documents": self.documents,
            "characters": self.characters,
            "tokens": self.tokens,
            "hours": None if self.seconds is None else round(self.seconds / 3600, 4),
            "measured_in_runs": list(self.rates.run_ids) if self.rates else [],
            "until": deadline.isoformat() if deadline else None,
            "share_by_then": None if share is None else round(share, 4),
        }

    def words(self, now: datetime, deadline: datetime | None) -> list[str]:
        """The forecast for a person, a sentence a line."""
        if not self.documents:
            return ["Nothing is to be done."]
        notes = count_of(self.documents, "note")
        about = f"{notes}, {self.characters:,} characters, about {self.tokens:,} tokens"
        if self.seconds is None or self.rates is None:
            return [f"To be done: {about}. How long it takes is not known: no run has had the same tasks."]
        runs = ", ".join(map(str, sorted(self.rates.run_ids)))
        noun = "runs" if len(self.rates.run_ids) > 1 else "run"
        measured = f"measured on {count_of(self.rates.documents, 'note')} in {noun} {runs}"
        lines = [f"To be done: {about}; about {human_duration(self.seconds)} ({measured})."]
        share = self.share_by(now, deadline)
        if share is not None and deadline is not None:
            enough = "all of it" if share >= 1 else f"about {share:.0%} of it"
            lines.append(f"Until {deadline:%H:%M} there is time for {enough}.")
        return lines
