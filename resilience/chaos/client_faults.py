"""Faults of clients: producers, cancel and retry, sweeps, and late messages."""

from __future__ import annotations

import random
import time

from celery import Celery
from kombu.exceptions import OperationalError

from models.messages import QUEUE_NAME, TASK_NAME
from resilience.chaos import fault_triggers
from resilience.chaos.fault_api import ActiveFault, Fault, FaultNotPossibleError, FaultTable
from resilience.chaos.process_slots import NoteRange
from resilience.chaos.service_faults import is_redis_up
from resilience.chaos.test_bed import ChaosTestBed
from resilience.chaos.worker_faults import armed_fault


def submit_twice_at_once(bed: ChaosTestBed, rng: random.Random) -> None:
    note_range = _random_range(bed, rng)
    bed.commands += [bed.start_producer(note_range), bed.start_producer(note_range)]


def kill_producer(bed: ChaosTestBed, rng: random.Random) -> ActiveFault:
    """Kills a producer during its submit; the test bed starts it again."""
    note_range = _random_range(bed, rng)
    _submit_again(bed, note_range)
    assert note_range.process is not None
    return ActiveFault(rng.uniform(0.8, 2.5), note_range.process.kill)


def kill_producer_at(name: str) -> Fault:
    """A fault that kills a producer when it reaches the injection point `name`."""

    def strike(bed: ChaosTestBed, rng: random.Random) -> None:
        note_range = _random_range(bed, rng)
        armed_fault(name)(bed, rng)
        _submit_again(bed, note_range)

    return strike


def send_late_duplicates(bed: ChaosTestBed, rng: random.Random) -> None:
    """Sends messages of documents that were answered long ago, and of some that do not exist."""
    if not is_redis_up(bed):
        raise FaultNotPossibleError
    app = Celery(broker=bed.redis.url, set_as_current=False)
    try:
        for _ in range(30):
            app.send_task(
                TASK_NAME,
                kwargs={"document_id": rng.randint(1, 400)},
                queue=QUEUE_NAME,
                priority=rng.choice((0, 9)),
                retry=False,
            )
    except OperationalError:  # Redis is full
        raise FaultNotPossibleError from None


def retry_failed(bed: ChaosTestBed, _draw: random.Random) -> None:
    bed.start_command("retry")


def cancel_and_submit_again(bed: ChaosTestBed, rng: random.Random) -> None:
    """Cancels in another process: a cancel may wait for a frozen worker, which only this process wakes."""
    note_range = _random_range(bed, rng)
    file = bed.folder / "runs" / note_range.name
    if note_range.process is not None or not file.exists():
        raise FaultNotPossibleError
    bed.start_command("cancel", file.read_text())
    note_range.is_submitted, note_range.not_before = False, time.monotonic() + rng.uniform(0, 2)


def sweep_twice_at_once(bed: ChaosTestBed, _draw: random.Random) -> None:
    bed.start_command("sweep")
    bed.start_command("sweep")


KINDS: FaultTable = {
    "submitted_twice_at_once": (submit_twice_at_once, 1),
    "producer_killed": (kill_producer, 1),
    fault_triggers.PRODUCER_KILLED_BEFORE_COMMIT: (
        kill_producer_at(fault_triggers.PRODUCER_KILLED_BEFORE_COMMIT),
        1,
    ),
    fault_triggers.PRODUCER_KILLED_AFTER_COMMIT: (
        kill_producer_at(fault_triggers.PRODUCER_KILLED_AFTER_COMMIT),
        1,
    ),
    "late_duplicates": (send_late_duplicates, 2),
    "retried": (retry_failed, 1),
    "cancelled": (cancel_and_submit_again, 2),
    "two_sweeps_at_once": (sweep_twice_at_once, 1),
}


def _submit_again(bed: ChaosTestBed, note_range: NoteRange) -> None:
    if note_range.process is None:
        note_range.is_submitted, note_range.process = False, bed.start_producer(note_range)


def _random_range(bed: ChaosTestBed, rng: random.Random) -> NoteRange:
    started = [
        note_range
        for note_range in bed.note_ranges
        if note_range.is_submitted or note_range.process is not None
    ]
    if not started:
        raise FaultNotPossibleError
    return rng.choice(started)
