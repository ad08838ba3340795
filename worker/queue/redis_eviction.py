"""Whether this Redis may throw messages away when its memory is full."""

from __future__ import annotations

import logging
from typing import Any

from celery import Celery
from redis.exceptions import RedisError

log = logging.getLogger(__name__)


def warn_about_eviction(app: Celery) -> None:
    """Warns unless a full Redis refuses new messages rather than dropping old ones.

    Nothing is lost either way, the sweep sends them again; but it sends only to an empty queue.
    """
    with app.connection_for_write() as connection:
        client: Any = connection.default_channel.client
        try:
            policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
        except RedisError:
            return  # managed servers refuse CONFIG
    if policy != "noeviction":
        log.warning("Redis has maxmemory-policy %s and may drop messages: set it to noeviction", policy)
