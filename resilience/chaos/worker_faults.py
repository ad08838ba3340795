"""Faults of a worker: its process, errors inside it, and its clock."""

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


def kill_worker(bed: ChaosTestBed, rng: random.Random) -> None:
    """Sends SIGKILL at a random time, as the kernel's out-of-memory killer does."""
    _random_process(bed, rng).send_signal(signal.SIGKILL)


def stop_worker(bed: ChaosTestBed, rng: random.Random) -> None:
    """Sends SIGTERM, and in half of the cases a second one shortly after."""
    process = _random_process(bed, rng)
    process.terminate()
    if rng.random() < 0.5:
        time.sleep(0.3)
        process.terminate()


def armed_fault(name: str) -> Fault:
    """A fault that the next process triggers at the injection point `name`."""

    def strike(bed: ChaosTestBed, _draw: random.Random) -> None:
        if fault_triggers.is_armed(bed.triggers, name):
            raise FaultNotPossibleError
        fault_triggers.arm(bed.triggers, name)

    return strike


def freeze_past_the_lease(bed: ChaosTestBed, rng: random.Random) -> ActiveFault:
    """Freezes a worker for longer than its lease, perhaps in a transaction that holds locks."""
    process = _random_process(bed, rng)
    bed.frozen.add(process.pid)
    process.send_signal(signal.SIGSTOP)
    return ActiveFault(LEASE_SECONDS * rng.uniform(1.5, 3), lambda: process.send_signal(signal.SIGCONT))


def shorten_visibility(bed: ChaosTestBed, rng: random.Random) -> None:
    """Restarts a worker with a short visibility timeout: its messages are redelivered while it works."""
    slot = _random_slot(bed, rng)
    slot.visibility_seconds = _SHORT_VISIBILITY_SECONDS
    _process(slot).terminate()


def move_clock(bed: ChaosTestBed, rng: random.Random) -> None:
    """Restarts a worker whose clock is hours or days off."""
    slot = _random_slot(bed, rng)
    slot.clock_seconds = rng.choice((-1, 1)) * rng.choice((3_600.0, _DAYS_SECONDS))
    _process(slot).terminate()


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
"""Worker faults. Poison notes are among the notes instead."""


def _random_slot(bed: ChaosTestBed, rng: random.Random) -> WorkerSlot:
    running = [slot for slot in bed.workers if slot.is_running]
    if not running:
        raise FaultNotPossibleError
    return rng.choice(running)


def _random_process(bed: ChaosTestBed, rng: random.Random) -> Any:
    return _process(_random_slot(bed, rng))


def _process(slot: WorkerSlot) -> Any:
    assert slot.process is not None
    return slot.process
