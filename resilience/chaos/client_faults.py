"""Faults of those who give orders: producers, people who cancel and retry, sweeps, and late messages."""

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


def submit_twice_at_once(stage: ChaosTestBed, draw: random.Random) -> None:
    chunk = _some_chunk(stage, draw)
    stage.others += [stage.start_producer(chunk), stage.start_producer(chunk)]


def kill_producer(stage: ChaosTestBed, draw: random.Random) -> ActiveFault:
    """In the middle of its submit; whoever started it types the same again."""
    chunk = _some_chunk(stage, draw)
    _submit_again(stage, chunk)
    assert chunk.process is not None
    return ActiveFault(draw.uniform(0.8, 2.5), chunk.process.kill)


def kill_producer_at(name: str) -> Fault:
    """At one place in its submit, whenever it comes there."""

    def strike(stage: ChaosTestBed, draw: random.Random) -> None:
        chunk = _some_chunk(stage, draw)
        armed_fault(name)(stage, draw)
        _submit_again(stage, chunk)

    return strike


def send_late_duplicates(stage: ChaosTestBed, draw: random.Random) -> None:
    """Messages of documents that were answered long ago, and of some that never were."""
    if not is_redis_up(stage):
        raise FaultNotPossibleError
    app = Celery(broker=stage.redis.url, set_as_current=False)
    try:
        for _ in range(30):
            app.send_task(
                TASK_NAME,
                kwargs={"document_id": draw.randint(1, 400)},
                queue=QUEUE_NAME,
                priority=draw.choice((0, 9)),
                retry=False,
            )
    except OperationalError:  # Redis is full
        raise FaultNotPossibleError from None


def retry_failed(stage: ChaosTestBed, _draw: random.Random) -> None:
    stage.command("retry")


def cancel_and_submit_again(stage: ChaosTestBed, draw: random.Random) -> None:
    """By a process of its own: a cancel may wait for a worker that is frozen, and we are who wakes it."""
    chunk = _some_chunk(stage, draw)
    file = stage.folder / "runs" / chunk.name
    if chunk.process is not None or not file.exists():
        raise FaultNotPossibleError
    stage.command("cancel", file.read_text())
    chunk.is_submitted, chunk.not_before = False, time.monotonic() + draw.uniform(0, 2)


def sweep_twice_at_once(stage: ChaosTestBed, _draw: random.Random) -> None:
    stage.command("sweep")
    stage.command("sweep")


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


def _submit_again(stage: ChaosTestBed, chunk: NoteRange) -> None:
    if chunk.process is None:
        chunk.is_submitted, chunk.process = False, stage.start_producer(chunk)


def _some_chunk(stage: ChaosTestBed, draw: random.Random) -> NoteRange:
    begun = [chunk for chunk in stage.chunks if chunk.is_submitted or chunk.process is not None]
    if not begun:
        raise FaultNotPossibleError
    return draw.choice(begun)
