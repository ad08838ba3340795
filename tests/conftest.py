"""Fixtures that many tests share: databases of both kinds, and no trace of the user's own settings."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Barrier
from types import ModuleType
from typing import Any

import hypothesis
import pytest
from postgres_server import database_url, execute, postgres_server
from sqlalchemy import Engine

from models.migrations import schema_version
from models.queries.queries import Queries
from models.schema.database import connect
from models.settings import PREFIX
from models.store.store import Store
from worker.telemetry.safe_logging import OURS

# Two test processes share two cores, so a second thread in each would mostly wait. Tests of two threads set
# the number themselves.
os.environ.setdefault("OMP_NUM_THREADS", "1")

BOTH_DATABASES = ("sqlite", "postgresql")
_numbers = count(1)

# No deadline: a shared machine may be busy for a second. Slow tests show in the suite's total time.
hypothesis.settings.register_profile("notemill", deadline=None)
hypothesis.settings.load_profile("notemill")

_WITHOUT_PROCESS = "not process"
_PROCESS_PLUGINS = {"commands", "reader", "redis_server", "servers", "view_server", "workshop"}
_HEAVY = (
    *("multiprocessing", "playwright", "subprocess", "torch", "transformers", "tiny"),
    *(
        "benchmarks",
        "resilience.fuzz",
        "training.finetune",
        "worker.engine.attention",
        "worker.engine.network",
    ),
)
"""A test module that imports from one of these starts processes or runs a neural network."""


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Marks tests that start processes or run a neural network; `make check` leaves them out."""
    for item in items:
        parameters = getattr(item, "callspec", None)
        is_postgresql = parameters is not None and "postgresql" in parameters.params.values()
        if is_postgresql or "postgres" in item.fixturenames or _is_heavy(item.getparent(pytest.Module)):
            item.add_marker("process")


def _is_heavy(module: pytest.Module | None) -> bool:
    if module is None:
        return False
    names = vars(module.obj)
    origins = {
        value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "") or ""
        for value in names.values()
    }
    return bool(_PROCESS_PLUGINS & set(names.get("pytest_plugins", ()))) or any(
        origin == heavy or origin.startswith(f"{heavy}.") for origin in origins for heavy in _HEAVY
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Without tests that start processes, starting one is an error: the marks are complete."""
    if session.config.option.markexpr == _WITHOUT_PROCESS:

        def forbid(event: str, _arguments: object) -> None:
            if (
                event in ("subprocess.Popen", "os.fork", "os.posix_spawn")
                and "PYTEST_CURRENT_TEST" in os.environ
            ):
                raise RuntimeError("a test that is not marked `process` starts a process")

        sys.addaudithook(forbid)


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(f"{PREFIX}HOME", str(tmp_path / "home"))


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Restores the process's loggers after each test: other tests read their records."""
    root, ours = logging.getLogger(), [logging.getLogger(name) for name in OURS]
    level, handlers = root.level, list(root.handlers)
    hooks = sys.excepthook, threading.excepthook, logging.raiseExceptions
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    sys.excepthook, threading.excepthook, logging.raiseExceptions = hooks
    for logger in ours:
        logger.disabled, logger.propagate = False, True


@pytest.fixture(params=BOTH_DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables; the test runs on both kinds."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'notemill.db'}"
    else:
        yield from _postgres_database(request.getfixturevalue("postgres"), "template1")


@pytest.fixture(params=BOTH_DATABASES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database of the test's own with tables in it; the test runs on both kinds."""
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("_sqlite_template"), tmp_path / "notemill.db")
        yield f"sqlite:///{tmp_path / 'notemill.db'}"
    else:
        yield from _postgres_database(request.getfixturevalue("_postgres_with_template"), "with_tables")


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    engine = connect(store_url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> Store:
    return Store(engine)


@pytest.fixture
def queries(engine: Engine) -> Queries:
    return Queries(engine)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The folder with the socket of this session's PostgreSQL server."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def _postgres_with_template(postgres: str) -> str:
    execute(postgres, "CREATE DATABASE with_tables")
    _upgrade(database_url(postgres, "with_tables"))
    return postgres


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "notemill.db"
    _upgrade(f"sqlite:///{path}")
    return path


def _postgres_database(server: str, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield database_url(server, name)
    execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _upgrade(url: str) -> None:
    engine = connect(url)
    schema_version.upgrade(engine)
    engine.dispose()  # the last connection that closes moves the -wal file into the database file


@pytest.fixture
def run_at_once() -> Callable[[Callable[[int], Any], int], list[Any]]:
    """Calls a function in several threads at once, each with its number; returns the results."""

    def run(function: Callable[[int], Any], threads: int) -> list[Any]:
        gate = Barrier(threads)

        def after_gate(number: int) -> Any:
            gate.wait()
            return function(number)

        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(after_gate, range(threads)))

    return run
