"""A worker's sign of life: the leases of its jobs are renewed while the process lives, and its costs told."""

from __future__ import annotations

import logging
import threading

from models.store.store import Store
from worker.telemetry.usage_accounting import UsageAccounting

log = logging.getLogger(__name__)

_BEATS_A_LEASE = 3
"""Two may fail, over a restart of the database say, before a lease ends."""
_SECONDS_AFTER_FAILURE = 0.5
"""After an outage longer than a lease every worker's jobs look like those of the dead: be there first."""


class Heartbeat:
    """A thread that renews; a worker whose renewals fail works on, and its late answers are refused.

    Figures have a thread of their own: they may wait for a row that somebody else holds, leases may not."""

    def __init__(self, store: Store, worker: str, lease_seconds: float, usage_accounting: UsageAccounting) -> None:
        self._store, self._worker, self._lease_seconds = store, worker, lease_seconds
        self._accounts = usage_accounting
        self._is_over = threading.Event()
        self._threads = (
            threading.Thread(target=self._beat, name="heartbeat", daemon=True),
            threading.Thread(target=self._tell_on, name="accounts", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """The last figures are told before it returns."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        self._tell()

    def _beat(self) -> None:
        usual_seconds = self._lease_seconds / _BEATS_A_LEASE
        wait_seconds = usual_seconds
        while not self._is_over.wait(wait_seconds):
            wait_seconds = usual_seconds
            try:
                self._store.renew(self._worker, self._lease_seconds)
            except Exception as error:  # noqa: BLE001  the next beat may get through
                log.warning("leases could not be renewed: %s", type(error).__name__)
                wait_seconds = min(usual_seconds, _SECONDS_AFTER_FAILURE)

    def _tell_on(self) -> None:
        while not self._is_over.wait(self._lease_seconds / _BEATS_A_LEASE):
            self._tell()

    def _tell(self) -> None:
        try:
            self._accounts.hand_over()
        except Exception as error:  # noqa: BLE001  figures must not end the signs of life, nor an orderly stop
            log.warning("what was spent could not be told: %s", type(error).__name__)
