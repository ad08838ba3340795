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
from console.terminal.progress_polling import POLL_SECONDS, poll_progress
from console.terminal.throughput import Throughput
from models.jobs import Serving
from models.queries.nightly.nightly_runs import OwedDocument
from models.settings import Settings
from producer.submission.background_publisher import BackgroundPublisher

_MESSAGES_PER_BATCH = 500


@dataclass(slots=True)
class BatchWindow:
    """Works through one run, until all jobs have ended or the deadline has come."""

    settings: Settings
    database: Database
    serving: Serving
    reporter: ProgressOutput
    run_id: int
    deadline: datetime | None
    is_stopped_at_deadline: bool = False
    seconds: float = 0.0
    """Seconds from the first message to the end, the start of the worker included."""

    def run(self, owed: Sequence[OwedDocument], plan: NightlyPlan) -> None:
        """Returns when no job is owed any more, or at the deadline after the documents in progress. Waiting
        jobs are then held: no worker takes them until the next nightly run asks again."""
        if not owed:
            return
        began = time.monotonic()
        # The embedded Redis starts before the worker, so that the messages are there in order.
        redis = start_redis(self.settings) if self.settings.is_redis_embedded else None
        served = with_redis(self.settings, redis.url) if redis else self.settings
        services = LocalServices(served, self.serving.id, self.reporter)
        try:
            self._publish(served, publishing_order(owed, plan.first, plan.order))
            self._follow(services, len(owed))
            services.stop()
            self._wait_for_others()
        except BaseException:
            self.database.store.cancel(self.run_id)
            raise
        finally:
            services.stop(is_hurried=True)
            if redis is not None:
                redis.stop()
            self.seconds = time.monotonic() - began

    def _publish(self, served: Settings, document_ids: list[int]) -> None:
        """Publishes the documents in order. Where Redis fails, the sweep of the workers finds the rest, in
        any order."""
        with BackgroundPublisher(served.redis_url.get_secret_value(), self.database.store) as publisher:
            for start in range(0, len(document_ids), _MESSAGES_PER_BATCH):
                publisher.publish(document_ids[start : start + _MESSAGES_PER_BATCH])
            publisher.wait()

    def _follow(self, services: LocalServices, num_notes: int) -> None:
        progress = self.database.queries.run_progress(self.run_id)
        pace = Throughput(jobs_a_note=(progress.pending + progress.running) / num_notes)
        while not progress.is_done:
            if self.deadline is not None and datetime.now().astimezone() >= self.deadline:
                self.is_stopped_at_deadline = True
                self.reporter.say(
                    f"It is {self.deadline:%H:%M}: finishing the notes in progress; the others are left."
                )
                self.database.store.cancel(self.run_id)
                return
            done = progress.total - progress.pending - progress.running
            services.ensure_running((done, progress.running))
            pace.count(time.monotonic(), done)
            self.reporter.show(done, progress.total, pace_words(pace, progress.total - done, progress.failed))
            progress = poll_progress(self.database.queries, self.run_id)
        self.reporter.close()

    def _wait_for_others(self) -> None:
        """Waits for other workers to finish the documents that they had in progress at the deadline."""
        until = time.monotonic() + self.settings.stop_seconds
        while self.database.queries.run_progress(self.run_id).running and time.monotonic() < until:
            time.sleep(POLL_SECONDS)


def publishing_order(
    owed: Iterable[OwedDocument], first: Sequence[Mapping[str, Any]], order: str
) -> list[int]:
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
    accepted = wanted if isinstance(wanted, list) else [wanted]
    return str(value) in map(str, accepted)


def _date(owed: OwedDocument) -> str:
    return str(owed.metadata.get("date") or "")
