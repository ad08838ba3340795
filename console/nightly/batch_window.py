"""The batch window of a nightly run: publishes documents in order, follows the jobs, and stops at the end
time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from console.nightly.plan_file import NightlyPlan
from console.processes.embedded_redis import start_redis, with_redis
from console.processes.local_services import LocalServices
from console.terminal.opened_database import Database
from console.terminal.progress_bar import ProgressOutput, pace_words
from console.terminal.throughput import Throughput
from models.jobs import Serving
from models.progress import RunProgress
from models.queries.nightly.nightly_runs import OwedDocument
from models.settings import Settings
from producer.submission.background_publisher import BackgroundPublisher

_SECONDS_BETWEEN_LOOKS = 0.3
_LOOKING_SHARE = 0.1
"""Largest share of the time spent on counting; counting the jobs of ten million notes takes seconds."""
_MESSAGES_A_SENDING = 500


@dataclass(slots=True)
class BatchWindow:
    """Works one run off, until all jobs have ended or the deadline has come."""

    settings: Settings
    database: Database
    serving: Serving
    voice: ProgressOutput
    run_id: int
    deadline: datetime | None
    is_stopped_at_deadline: bool = False
    seconds: float = 0.0
    """Seconds from the first message to the end, the start of the worker included."""

    def work(self, owed: Sequence[OwedDocument], plan: NightlyPlan) -> None:
        """Returns when no job is owed any more, or at the deadline after the documents in progress. Waiting
        jobs are then held: no worker takes them until the next nightly run asks again."""
        if not owed:
            return
        began = time.monotonic()
        # A Redis of our own is started before the worker, so that the messages lie there in their order.
        redis = start_redis(self.settings) if self.settings.is_redis_embedded else None
        served = with_redis(self.settings, redis.url) if redis else self.settings
        mill = LocalServices(served, self.serving.id, self.voice)
        try:
            self._ring(served, ordered(owed, plan.first, plan.order))
            self._follow(mill, len(owed))
            mill.stop()
            self._wait_for_others()
        except BaseException:
            self.database.store.cancel(self.run_id)
            raise
        finally:
            mill.stop(is_hurried=True)
            if redis is not None:
                redis.stop()
            self.seconds = time.monotonic() - began

    def _ring(self, served: Settings, document_ids: list[int]) -> None:
        """Publishes the documents in order. Where Redis fails, the sweep of the workers finds the rest, in
        any order."""
        with BackgroundPublisher(served.redis_url.get_secret_value(), self.database.store) as bell:
            for start in range(0, len(document_ids), _MESSAGES_A_SENDING):
                bell.ring(document_ids[start : start + _MESSAGES_A_SENDING])
            bell.wait()

    def _follow(self, mill: LocalServices, num_notes: int) -> None:
        progress = self._look()
        pace = Throughput(jobs_a_note=(progress.pending + progress.running) / num_notes)
        while not progress.is_done:
            if self.deadline is not None and datetime.now().astimezone() >= self.deadline:
                self.is_stopped_at_deadline = True
                self.voice.say(f"It is {self.deadline:%H:%M}: what is in hand is finished, the rest is left.")
                self.database.store.cancel(self.run_id)
                return
            done = progress.total - progress.pending - progress.running
            mill.keep_turning((done, progress.running))
            pace.count(time.monotonic(), done)
            self.voice.show(done, progress.total, pace_words(pace, progress.total - done, progress.failed))
            progress = self._look(is_waiting=True)
        self.voice.close()

    def _wait_for_others(self) -> None:
        """Waits for other workers to finish the documents that they had in progress at the deadline."""
        until = time.monotonic() + self.settings.stop_seconds
        while self._look().running and time.monotonic() < until:
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _look(self, *, is_waiting: bool = False) -> RunProgress:
        asked_at = time.monotonic()
        progress = self.database.queries.run_progress(self.run_id)
        if is_waiting:
            time.sleep(max(_SECONDS_BETWEEN_LOOKS, (time.monotonic() - asked_at) / _LOOKING_SHARE))
        return progress


def ordered(owed: Iterable[OwedDocument], first: Sequence[Mapping[str, Any]], order: str) -> list[int]:
    """Document ids in order: those of the first rule, of the second, …, then all others; each group by date,
    or as read. A note without a date comes after those with one."""
    ranked = sorted(owed, key=lambda document: _rank(document.metadata, first))
    if order == "as read":
        return [document.document_id for document in ranked]
    is_newest = order == "newest"
    by_date = sorted(ranked, key=lambda document: _date(document), reverse=is_newest)
    dated = [document for document in by_date if _date(document)] + [
        document for document in by_date if not _date(document)
    ]
    return [
        document.document_id
        for document in sorted(dated, key=lambda document: _rank(document.metadata, first))
    ]


def _rank(metadata: Mapping[str, Any], first: Sequence[Mapping[str, Any]]) -> int:
    for rank, rule in enumerate(first):
        if all(_is_met(metadata.get(name), wanted) for name, wanted in rule.items()):
            return rank
    return len(first)


def _is_met(value: Any, wanted: Any) -> bool:
    listed = wanted if isinstance(wanted, list) else [wanted]
    return str(value) in map(str, listed)


def _date(owed: OwedDocument) -> str:
    return str(owed.metadata.get("date") or "")
