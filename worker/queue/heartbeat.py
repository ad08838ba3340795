"""Heartbeat: renews the leases of a worker's jobs while its process lives, and stores its usage."""

from __future__ import annotations

import logging
import threading

from models.store.store import Store
from worker.telemetry.usage_accounting import UsageAccounting

log = logging.getLogger(__name__)

_BEATS_A_LEASE = 3
"""Two renewals may fail, as during a restart of the database, before a lease expires."""
_SECONDS_AFTER_FAILURE = 0.5
"""After an outage longer than a lease all jobs look abandoned: the renewal must come first."""


class Heartbeat:
    """Threads that renew leases and store usage. A worker whose renewals fail works on; its late answers are
    refused.

    Usage has a thread of its own, since it may wait for a row lock, and renewals may not.
    """

    def __init__(
        self, store: Store, worker: str, lease_seconds: float, usage_accounting: UsageAccounting
    ) -> None:
        self._store, self._worker, self._lease_seconds = store, worker, lease_seconds
        self._accounts = usage_accounting
        self._is_over = threading.Event()
        self._threads = (
            threading.Thread(target=self._beat, name="heartbeat", daemon=True),
            threading.Thread(target=self._store_usage_regularly, name="usage", daemon=True),
        )
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stops the threads and stores the last usage."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        self._store_usage()

    def _beat(self) -> None:
        usual_seconds = self._lease_seconds / _BEATS_A_LEASE
        wait_seconds = usual_seconds
        while not self._is_over.wait(wait_seconds):
            wait_seconds = usual_seconds
            try:
                self._store.renew(self._worker, self._lease_seconds)
            except Exception as error:  # noqa: BLE001  the next renewal may succeed
                log.warning("leases could not be renewed: %s", type(error).__name__)
                wait_seconds = min(usual_seconds, _SECONDS_AFTER_FAILURE)

    def _store_usage_regularly(self) -> None:
        while not self._is_over.wait(self._lease_seconds / _BEATS_A_LEASE):
            self._store_usage()

    def _store_usage(self) -> None:
        try:
            self._accounts.store_usage()
        except Exception as error:  # noqa: BLE001  usage must not end heartbeat or shutdown
            log.warning("usage could not be stored: %s", type(error).__name__)
