"""One chaos run: submits notes, injects and undoes faults at random times, then finishes all jobs."""

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
_RANGE_NOTES = 50
_TICK_SECONDS = 0.05
_REPORT_SECONDS = 2.0
_OVERSAMPLING = 1.2
"""Faults are tried this many times as often as needed: some are not possible, and injecting takes time."""
_CHECK_SECONDS = 0.4
_MAX_WAIT_SECONDS = 10.0
"""A fault waits at most this long for a new answer: it would have no effect while everything is down."""

Report = Callable[[str], None]


@dataclass
class ChaosRun:
    """Injects the seed's faults into a test bed for `seconds`, and longer until there were `faults`."""

    bed: ChaosTestBed
    seed: int
    seconds: float
    faults: int
    """Faults at least. Poison notes, and armed faults that no process triggered, do not count."""
    deadline: RunDeadline
    report: Report
    by_kind: Counter[str] = field(default_factory=Counter)
    _began: float = 0.0
    _undos: list[tuple[float, str, Undo]] = field(default_factory=list)
    _waiting_ranges: list[tuple[float, NoteRange]] = field(default_factory=list)
    """Note ranges with the number of faults before each: notes arrive as long as faults are injected."""
    _num_ended: int = 0
    """Jobs that had ended at the last check."""
    _checked_at: float = 0.0

    def run(self) -> list[NoteRange]:
        """The chunks that were submitted. Raises UnfinishedRunError when jobs are open at the deadline."""
        self._wait_for_first_answer()
        self._inject_faults()
        self._finish_jobs()
        self._retry_failed_by_faults()
        numbers = [(c.group, n) for c in self.bed.note_ranges for n in range(c.first, c.first + c.count)]
        self.by_kind["poison_note"] = sum(is_poison(*number) for number in numbers)
        return self.bed.note_ranges

    def _wait_for_first_answer(self) -> None:
        """Waits for the first answers: a fault before them would have no effect."""
        self._began = time.monotonic()
        self.bed.note_ranges = _note_ranges(self.seconds, self.bed.groups)
        self.bed.note_ranges[0].not_before = 0.0
        later = self.bed.note_ranges[1:]
        self._waiting_ranges = [
            (0.6 * self.faults * i / len(later), note_range) for i, note_range in enumerate(later)
        ]
        while not self._report_jobs()["finished"]:
            self.bed.restart_stopped()
            self.deadline.check(self.bed, "the first answer")
            time.sleep(_REPORT_SECONDS / 4)
        self._began = time.monotonic()

    def _inject_faults(self) -> None:
        rng = random.Random(self.seed)
        deck, seconds_between = FaultDeck(KINDS, rng), self.seconds / self.faults / _OVERSAMPLING
        next_fault, next_report = self._began, self._began
        while (now := time.monotonic()) < self._began + self.seconds or self._num_faults < self.faults:
            self._undo_due(now)
            self._release_ranges(self._num_faults)
            self.bed.restart_stopped()
            if now >= next_fault and self._is_fault_due(now, next_fault):
                self._strike(deck, now)
                next_fault = now + rng.expovariate(1 / seconds_between)
            if now >= next_report:
                self._report_jobs()
                next_report = now + _REPORT_SECONDS * 5
            self.deadline.check(self.bed, f"{self._num_faults} of {self.faults} faults")
            time.sleep(_TICK_SECONDS)
        self._undo_due(float("inf"))
        self._release_ranges(self.faults)
        for name in fault_triggers.armed_names(self.bed.triggers):
            self.by_kind[name] -= fault_triggers.disarm(self.bed.triggers, name)
        self.by_kind = +self.by_kind

    @property
    def _num_faults(self) -> int:
        return self.by_kind.total() - len(fault_triggers.armed_names(self.bed.triggers))

    def _release_ranges(self, num_struck: float) -> None:
        while self._waiting_ranges and self._waiting_ranges[0][0] <= num_struck:
            self._waiting_ranges.pop(0)[1].not_before = 0.0

    def _is_fault_due(self, now: float, due: float) -> bool:
        """True if a job ended since the last fault, or if no job is open."""
        if now > due + _MAX_WAIT_SECONDS:
            return True
        if now < self._checked_at + _CHECK_SECONDS:
            return False
        self._checked_at = now
        try:
            jobs = open_jobs(self.bed)
        except NotemillError:
            return False
        before, self._num_ended = self._num_ended, jobs["finished"] + jobs["failed"]
        return self._num_ended != before or not jobs["pending"] + jobs["running"]

    def _strike(self, deck: FaultDeck, now: float) -> None:
        drawn = deck.strike(self.bed)
        if drawn is None:
            return
        name, active = drawn
        self.by_kind[name] += 1
        self.report(f"{now - self._began:5.0f} s    {name}")
        if active is not None:
            self._undos.append((now + active.seconds, name, active.undo))

    def _undo_due(self, now: float) -> None:
        for entry in [entry for entry in self._undos if entry[0] <= now]:
            self._undos.remove(entry)
            entry[2]()

    def _finish_jobs(self) -> None:
        """Waits until no job is open. Raises UnfinishedRunError."""
        next_report = 0.0
        while True:
            self.bed.restart_stopped()
            is_submitted = (
                all(note_range.is_submitted for note_range in self.bed.note_ranges) and not self.bed.commands
            )
            if time.monotonic() >= next_report:
                jobs = self._report_jobs()
                if is_submitted and jobs and not jobs["pending"] and not jobs["running"]:
                    return
                next_report = time.monotonic() + _REPORT_SECONDS
            self.deadline.check(self.bed, "finishing the jobs")
            time.sleep(_TICK_SECONDS)

    def _retry_failed_by_faults(self) -> None:
        """Retries jobs that failed because faults hit their workers three times, the limit.

        An operator would run `notemill retry`, after which they must be answered.
        """
        while runs := runs_failed_by_faults(self.bed):
            self.report(f"retrying jobs whose workers were hit three times: runs {sorted(runs)}")
            for run_id, reason in runs:
                self.bed.start_command("retry", "--run", str(run_id), "--reason", reason)
            self._finish_jobs()

    def _report_jobs(self) -> Counter[str]:
        seconds = time.monotonic() - self._began
        try:
            jobs = open_jobs(self.bed)
        except NotemillError:
            self.report(f"{seconds:5.0f} s  {self.by_kind.total()} faults; the database does not answer")
            return Counter()
        shown = ", ".join(f"{count} {status}" for status, count in jobs.items() if count)
        self.report(f"{seconds:5.0f} s  {self.by_kind.total()} faults; jobs: {shown or 'none yet'}")
        return jobs


def _note_ranges(seconds: float, groups: Sequence[str]) -> list[NoteRange]:
    """The note ranges that two workers can answer in the time, and one for the real engine."""
    number = max(2, round(seconds * 8.4 / _RANGE_NOTES))
    note_ranges = [NoteRange("instant", i * _RANGE_NOTES, _RANGE_NOTES) for i in range(number)]
    if "real" in groups:
        note_ranges.insert(1, NoteRange("real", 0, number * _RANGE_NOTES // 10))
    return note_ranges
