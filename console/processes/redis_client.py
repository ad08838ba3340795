"""A short-lived Redis connection from the broker URL, for single questions."""

from __future__ import annotations

from typing import Any

import redis

_SOCKET_SCHEME = "redis+socket://"
_SECONDS = 2.0
UNREACHABLE = (redis.RedisError, OSError)
"""Exceptions of a question to a server that does not answer, or not as Redis does."""


def connect(url: str) -> redis.Redis:
    """A client; sends nothing yet. Kombu writes `redis+socket://PATH` where redis-py writes `unix://PATH`."""
    spelled = "unix://" + url.removeprefix(_SOCKET_SCHEME) if url.startswith(_SOCKET_SCHEME) else url
    return redis.Redis.from_url(spelled, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)


def ping(url: str) -> bool:
    """True where a server answers within two seconds."""
    return server_info(url) is not None


def server_info(url: str) -> dict[str, Any] | None:
    """The reply to INFO with the eviction policy; None where no server answers."""
    client = connect(url)
    try:
        return client.info()
    except (redis.RedisError, OSError, ValueError):
        return None
    finally:
        client.close()
