"""One chaos run: notes come in, faults strike at drawn moments and are taken back, and all is worked off."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from models.errors import NotemillError
from resilience.chaos import client_faults, fault_triggers, service_faults, worker_faults
from resilience.chaos.chaos_notes import is_poison
from resilience.chaos.fault_api import FaultDeck, FaultTable, Undo
from resilience.chaos.process_slots import NoteRange
from resilience.chaos.result_check import open_jobs, runs_failed_by_faults
from resilience.chaos.run_deadline import RunDeadline
from resilience.chaos.test_bed import ChaosTestBed

KINDS: FaultTable = {**worker_faults.KINDS, **service_faults.KINDS, **client_faults.KINDS}
"""All faults by name."""
_CHUNK_NOTES = 50
_TICK_SECONDS = 0.05
_LOOK_SECONDS = 2.0
_EAGERNESS = 1.2
"""So many times as often as the wanted faults would need: some cannot strike, and striking takes time."""
_LOOKS_SECONDS = 0.4
_PATIENCE_SECONDS = 10.0
"""A fault that strikes while all is down already meets nobody: it waits for an answer, but not for ever."""

Say = Callable[[str], None]


@dataclass
class ChaosRun:
    """The seed's draw of faults on a stage, for `seconds`, and longer until there were `faults`."""

    stage: ChaosTestBed
    seed: int
    seconds: float
    faults: int
    """Poison notes, and faults that were ordered and met nobody, do not count."""
    deadline: RunDeadline
    say: Say
    by_kind: Counter[str] = field(default_factory=Counter)
    _began: float = 0.0
    _undos: list[tuple[float, str, Undo]] = field(default_factory=list)
    _later: list[tuple[float, NoteRange]] = field(default_factory=list)
    """By how many faults come before it: notes come in as long as faults strike, however slow all is."""
    _ended: int = 0
    """Jobs, at the last look."""
    _looked_at: float = 0.0

    def run(self) -> list[NoteRange]:
        """The chunks that were submitted. Raises NotEndedError where jobs are open at the deadline."""
        self._begin()
        self._play()
        self._work_off()
        self._retry_bad_luck()
        numbers = [(c.group, n) for c in self.stage.chunks for n in range(c.first, c.first + c.count)]
        self.by_kind["poison_note"] = sum(is_poison(*number) for number in numbers)
        return self.stage.chunks

    def _begin(self) -> None:
        """Until the first answers are there: what strikes before meets nobody."""
        self._began = time.monotonic()
        self.stage.chunks = _chunks(self.seconds, self.stage.groups)
        self.stage.chunks[0].not_before = 0.0
        later = self.stage.chunks[1:]
        self._later = [(0.6 * self.faults * i / len(later), chunk) for i, chunk in enumerate(later)]
        while not self._tell()["finished"]:
            self.stage.keep_turning()
            self.deadline.check(self.stage, "the first answer")
            time.sleep(_LOOK_SECONDS / 4)
        self._began = time.monotonic()

    def _play(self) -> None:
        draw = random.Random(self.seed)
        deck, seconds_between = FaultDeck(KINDS, draw), self.seconds / self.faults / _EAGERNESS
        next_fault, next_look = self._began, self._began
        while (now := time.monotonic()) < self._began + self.seconds or self._num_struck < self.faults:
            self._take_back(now)
            self._let_in(self._num_struck)
            self.stage.keep_turning()
            if now >= next_fault and self._is_worthwhile(now, next_fault):
                self._strike(deck, now)
                next_fault = now + draw.expovariate(1 / seconds_between)
            if now >= next_look:
                self._tell()
                next_look = now + _LOOK_SECONDS * 5
            self.deadline.check(self.stage, f"{self._num_struck} of {self.faults} faults")
            time.sleep(_TICK_SECONDS)
        self._take_back(float("inf"))
        self._let_in(self.faults)
        for name in fault_triggers.armed_names(self.stage.triggers):
            self.by_kind[name] -= fault_triggers.disarm(self.stage.triggers, name)
        self.by_kind = +self.by_kind

    @property
    def _num_struck(self) -> int:
        return self.by_kind.total() - len(fault_triggers.armed_names(self.stage.triggers))

    def _let_in(self, num_struck: float) -> None:
        while self._later and self._later[0][0] <= num_struck:
            self._later.pop(0)[1].not_before = 0.0

    def _is_worthwhile(self, now: float, due: float) -> bool:
        """Something was answered since the last fault, or nothing is owed."""
        if now > due + _PATIENCE_SECONDS:
            return True
        if now < self._looked_at + _LOOKS_SECONDS:
            return False
        self._looked_at = now
        try:
            jobs = open_jobs(self.stage)
        except NotemillError:
            return False
        before, self._ended = self._ended, jobs["finished"] + jobs["failed"]
        return self._ended != before or not jobs["pending"] + jobs["running"]

    def _strike(self, deck: FaultDeck, now: float) -> None:
        drawn = deck.strike(self.stage)
        if drawn is None:
            return
        name, struck = drawn
        self.by_kind[name] += 1
        self.say(f"{now - self._began:5.0f} s    {name}")
        if struck is not None:
            self._undos.append((now + struck.seconds, name, struck.undo))

    def _take_back(self, now: float) -> None:
        for entry in [entry for entry in self._undos if entry[0] <= now]:
            self._undos.remove(entry)
            entry[2]()

    def _work_off(self) -> None:
        """Until nothing is owed. Raises NotEndedError."""
        next_look = 0.0
        while True:
            self.stage.keep_turning()
            is_submitted = all(chunk.is_submitted for chunk in self.stage.chunks) and not self.stage.others
            if time.monotonic() >= next_look:
                jobs = self._tell()
                if is_submitted and jobs and not jobs["pending"] and not jobs["running"]:
                    return
                next_look = time.monotonic() + _LOOK_SECONDS
            self.deadline.check(self.stage, "working off")
            time.sleep(_TICK_SECONDS)

    def _retry_bad_luck(self) -> None:
        """An innocent note whose worker we struck three times has failed, which is right: three is the bound.
        Whoever runs it types `retry`, as we do here, and then it has to be answered."""
        while runs := runs_failed_by_faults(self.stage):
            self.say(f"retried, because we struck their workers three times: runs {sorted(runs)}")
            for run_id, reason in runs:
                self.stage.command("retry", "--run", str(run_id), "--reason", reason)
            self._work_off()

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


def _chunks(seconds: float, groups: Sequence[str]) -> list[NoteRange]:
    """As many notes as two workers can answer in the time; in the middle some for the real engine."""
    number = max(2, round(seconds * 8.4 / _CHUNK_NOTES))
    chunks = [NoteRange("instant", i * _CHUNK_NOTES, _CHUNK_NOTES) for i in range(number)]
    if "real" in groups:
        chunks.insert(1, NoteRange("real", 0, number * _CHUNK_NOTES // 10))
    return chunks
