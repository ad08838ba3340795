"""Faults that strike a worker: its process, what happens inside it, and its clock."""

from __future__ import annotations

import random
import signal
import time
from typing import Any

from resilience.chaos import fault_triggers
from resilience.chaos.fault_api import ActiveFault, Fault, FaultNotPossibleError, FaultTable
from resilience.chaos.process_slots import WorkerSlot
from resilience.chaos.test_bed import LEASE_SECONDS, ChaosTestBed

_DAYS_SECONDS = 3 * 24 * 3600.0
_SHORT_VISIBILITY_SECONDS = 1


def kill_worker(stage: ChaosTestBed, draw: random.Random) -> None:
    """SIGKILL at a random moment, as the kernel's out-of-memory killer does it."""
    _running(stage, draw).send_signal(signal.SIGKILL)


def stop_worker(stage: ChaosTestBed, draw: random.Random) -> None:
    """SIGTERM, and in half of the cases a second one at once."""
    process = _running(stage, draw)
    process.terminate()
    if draw.random() < 0.5:
        time.sleep(0.3)
        process.terminate()


def armed_fault(name: str) -> Fault:
    """A fault inside the next process that comes to the place for it."""

    def strike(stage: ChaosTestBed, _draw: random.Random) -> None:
        if fault_triggers.is_armed(stage.triggers, name):
            raise FaultNotPossibleError
        fault_triggers.arm(stage.triggers, name)

    return strike


def freeze_past_the_lease(stage: ChaosTestBed, draw: random.Random) -> ActiveFault:
    """Whatever it is at; in the middle of a transaction it holds what others want to have."""
    process = _running(stage, draw)
    stage.frozen.add(process.pid)
    process.send_signal(signal.SIGSTOP)
    return ActiveFault(LEASE_SECONDS * draw.uniform(1.5, 3), lambda: process.send_signal(signal.SIGCONT))


def shorten_visibility(stage: ChaosTestBed, draw: random.Random) -> None:
    """A worker whose messages come again while it works on them."""
    place = _place(stage, draw)
    place.visibility_seconds = _SHORT_VISIBILITY_SECONDS
    _process(place).terminate()


def move_clock(stage: ChaosTestBed, draw: random.Random) -> None:
    """A worker whose clock is hours or days off."""
    place = _place(stage, draw)
    place.clock_seconds = draw.choice((-1, 1)) * draw.choice((3_600.0, _DAYS_SECONDS))
    _process(place).terminate()


KINDS: FaultTable = {
    "worker_killed": (kill_worker, 3),
    "worker_stopped": (stop_worker, 1),
    fault_triggers.KILL_BEFORE_COMMIT: (armed_fault(fault_triggers.KILL_BEFORE_COMMIT), 2),
    fault_triggers.KILL_AFTER_COMMIT: (armed_fault(fault_triggers.KILL_AFTER_COMMIT), 2),
    "worker_frozen_past_lease": (freeze_past_the_lease, 2),
    fault_triggers.OUT_OF_MEMORY: (armed_fault(fault_triggers.OUT_OF_MEMORY), 1),
    fault_triggers.ENGINE_OUT_OF_MEMORY: (armed_fault(fault_triggers.ENGINE_OUT_OF_MEMORY), 1),
    "visibility_too_short": (shorten_visibility, 1),
    "clock_moved": (move_clock, 1),
}
"""Poison notes are among the notes."""


def _place(stage: ChaosTestBed, draw: random.Random) -> WorkerSlot:
    running = [place for place in stage.workers if place.is_running]
    if not running:
        raise FaultNotPossibleError
    return draw.choice(running)


def _running(stage: ChaosTestBed, draw: random.Random) -> Any:
    return _process(_place(stage, draw))


def _process(place: WorkerSlot) -> Any:
    assert place.process is not None
    return place.process
