"""One chaos run: notes come in, faults strike at drawn moments and are taken back, and all is worked off."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.chaos import triggers
from benchmarks.chaos.faults import KINDS, NotNowError, Undo
from benchmarks.chaos.judging import open_jobs
from benchmarks.chaos.notes import is_poison
from benchmarks.chaos.stage import Chunk, Stage
from models.errors import NotemillError

_CHUNK_NOTES = 50
_SECONDS_BETWEEN_FAULTS = 1.1
_TICK_SECONDS = 0.05
_LOOK_SECONDS = 2.0
_LONGEST_START_SECONDS = 180.0
_LONGEST_STILL_SECONDS = 120.0
"""With nothing ended, begun or given back: far more than the longest wait before another attempt, 20 s."""

Say = Callable[[str], None]


@dataclass
class Play:
    """The seed's draw of faults over `seconds`, on a stage."""

    stage: Stage
    seed: int
    seconds: float
    say: Say
    by_kind: Counter[str] = field(default_factory=Counter)
    _began: float = 0.0
    _undos: list[tuple[float, str, Undo]] = field(default_factory=list)

    def run(self) -> list[Chunk]:
        """The chunks that were submitted. Raises TimeoutError where the jobs do not come to an end."""
        draw = random.Random(self.seed)
        self._begin()
        next_fault, next_look = self._began, self._began
        while (now := time.monotonic()) < self._began + self.seconds:
            self._take_back(now)
            self.stage.keep_turning()
            if now >= next_fault:
                self._strike(draw, now)
                next_fault = now + draw.expovariate(1 / _SECONDS_BETWEEN_FAULTS)
            if now >= next_look:
                self._tell()
                next_look = now + _LOOK_SECONDS * 5
            time.sleep(_TICK_SECONDS)
        self._take_back(float("inf"))
        triggers.withdraw_all(self.stage.triggers)
        self._work_off()
        poison = [
            n for c in self.stage.chunks for n in range(c.first, c.first + c.count) if is_poison(c.group, n)
        ]
        self.by_kind["poison_note"] = len(poison)
        return self.stage.chunks

    def _begin(self) -> None:
        """Until the first answers are there: what strikes before meets nobody. Raises TimeoutError."""
        self._began = time.monotonic()
        self.stage.chunks = _chunks(self.seconds, self._began, self.stage.groups)
        later = [(chunk, chunk.not_before - self._began) for chunk in self.stage.chunks[1:]]
        for chunk, _ in later:
            chunk.not_before = float("inf")
        while not self._tell()["finished"]:
            self.stage.keep_turning()
            if time.monotonic() > self._began + _LONGEST_START_SECONDS:
                raise TimeoutError(f"no answer in {_LONGEST_START_SECONDS:.0f} s: see {self.stage.folder}")
            time.sleep(_LOOK_SECONDS / 4)
        self._began = time.monotonic()
        for chunk, seconds in later:
            chunk.not_before = self._began + seconds

    def _strike(self, draw: random.Random, now: float) -> None:
        names = list(KINDS)
        weights = [KINDS[name][1] for name in names]
        for name in draw.choices(names, weights, k=20):
            try:
                struck = KINDS[name][0](self.stage, draw)
            except NotNowError:
                continue
            self.by_kind[name] += 1
            self.say(f"{now - self._began:5.0f} s    {name}")
            if struck is not None:
                self._undos.append((now + struck.seconds, name, struck.undo))
            return

    def _take_back(self, now: float) -> None:
        for entry in [entry for entry in self._undos if entry[0] <= now]:
            self._undos.remove(entry)
            entry[2]()

    def _work_off(self) -> None:
        """Until nothing is owed, or nothing has moved for a while: what is owed then is lost to the run."""
        moved_at, before, next_look = time.monotonic(), Counter[str](), 0.0
        while time.monotonic() < moved_at + _LONGEST_STILL_SECONDS:
            self.stage.keep_turning()
            is_submitted = all(chunk.is_submitted for chunk in self.stage.chunks) and not self.stage.others
            if time.monotonic() >= next_look:
                jobs = self._tell()
                if is_submitted and jobs and not jobs["pending"] and not jobs["running"]:
                    return
                if jobs != before:
                    moved_at, before = time.monotonic(), jobs
                next_look = time.monotonic() + _LOOK_SECONDS
            time.sleep(_TICK_SECONDS)
        self.say("the jobs do not come to an end")

    def _tell(self) -> Counter[str]:
        seconds = time.monotonic() - self._began
        try:
            jobs = open_jobs(self.stage)
        except NotemillError:
            self.say(f"{seconds:5.0f} s  {self.by_kind.total()} faults; the database does not answer now")
            return Counter()
        shown = ", ".join(f"{count} {status}" for status, count in jobs.items() if count)
        self.say(f"{seconds:5.0f} s  {self.by_kind.total()} faults; jobs: {shown or 'none yet'}")
        return jobs


def _chunks(seconds: float, began: float, groups: object) -> list[Chunk]:
    """As many notes as two workers can answer in the time, coming in evenly; one in ten for the real one."""
    number = max(2, round(seconds * 9 / _CHUNK_NOTES))
    each = 0.8 * seconds / number
    chunks = [Chunk("instant", i * _CHUNK_NOTES, _CHUNK_NOTES, began + i * each) for i in range(number)]
    if "real" in groups:  # type: ignore[operator]
        chunks.append(Chunk("real", 0, number * _CHUNK_NOTES // 10, began + 1))
    return chunks
