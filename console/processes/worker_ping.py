"""Asks, through Celery, which workers serve a Redis server."""

from __future__ import annotations

from console.processes import redis_client
from models.settings import Settings

_PATIENCE_SECONDS = 1.0
"""Time for replies; a healthy worker answers in milliseconds, also while the GPU is busy."""


def workers_alive(settings: Settings) -> list[str]:
    """Names of the workers that answer on the settings' Redis; empty if no server answers."""
    url = settings.redis_url.get_secret_value()
    if not redis_client.ping(url):
        return []
    from celery import Celery

    with Celery("notemill.console", broker=url, set_as_current=False) as app:
        app.conf.broker_transport_options = {"socket_timeout": 5, "socket_connect_timeout": 2}
        try:
            replies = app.control.ping(timeout=_PATIENCE_SECONDS)
        except Exception:  # noqa: BLE001  another command stopped its server while we asked
            return []
    return sorted(name for reply in replies for name in reply)


def is_worker_alive(settings: Settings) -> bool:
    return bool(workers_alive(settings))
