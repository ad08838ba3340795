"""A notemill for tests: Redis, a database, and worker processes that can be killed.

In a test module: `pytest_plugins = ("redis_server", "workshop")`, then ask for `workshop`. Its workers have
a stand-in for the network (tests/support/stand_in) and start in a second; everything else is real.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import Engine, text

from models.answers import Task
from models.documents import Document
from models.jobs import Question, recipe_for
from models.messages import QUEUE_NAME, TASK_NAME
from models.migrations import schema_version
from models.schema.database import connect, read_transaction
from models.settings import Settings, as_environment
from models.store.store import Store
from producer import submit
from worker.queue.worker_command import worker_command
from worker.recipe import serving

ROOT = Path(__file__).parents[2]
STAND_IN = ROOT / "tests" / "support" / "stand_in"


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Waits until the condition is true and returns its result. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.03)
    raise TimeoutError(f"not within {seconds} s")


@dataclass
class Worker:
    """A worker process and its log."""

    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def says(self, words: str, times: int = 1) -> None:
        """Waits until the words are in the log `times` times."""
        is_over = lambda: self.log.count(words) >= times or self.process.poll() is not None  # noqa: E731
        until(is_over)
        assert self.log.count(words) >= times, self.log

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ends(self) -> int:
        """Waits for the process to exit and returns its exit status."""
        return self.process.wait(60)


@dataclass
class Workshop:
    """Everything around the workers of one test."""

    folder: Path
    database_url: str
    redis_url: str
    started: list[Worker] = field(default_factory=list)

    def settings(self, **changes: Any) -> Settings:
        usual: dict[str, Any] = {
            "home": self.folder,
            "database_url": SecretStr(self.database_url),
            "redis_url": SecretStr(self.redis_url),
            "weights": str(self.weights),
            "quantization": "none",
            "adapter": "none",
            "worker_threads": 4,
        }
        return Settings(**{**usual, **changes})

    @cached_property
    def weights(self) -> Path:
        """A folder that has a fingerprint; the stand-in loads nothing from it."""
        folder = self.folder / "weights"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text("{}")
        return folder

    @cached_property
    def database(self) -> Engine:
        engine = connect(self.database_url)
        schema_version.upgrade(engine)
        return engine

    @cached_property
    def redis(self) -> Redis:
        return Redis(unix_socket_path=self.redis_url.removeprefix("redis+socket://"))

    def stranger(self, protocol: int = 2) -> Celery:
        """A Celery client that knows nothing of notemill."""
        app = Celery(broker=self.redis_url, set_as_current=False)
        app.conf.task_protocol = protocol
        return app

    def send(self, *args: Any, protocol: int = 2, task: str = TASK_NAME, **kwargs: Any) -> None:
        self.stranger(protocol).send_task(task, args=args, kwargs=kwargs, queue=QUEUE_NAME)

    def register(self, *notes: str, queries: Sequence[str] = ("fever",)) -> list[int]:
        """Documents with a search job for each query; returns their ids."""
        store = Store(self.database)
        recipe = recipe_for(Task.SEARCH, serving(self.settings()), ())
        questions = [Question(task=Task.SEARCH, parameters={"query": query}) for query in queries]
        documents = [Document(external_id=f"note-{number}", text=note) for number, note in enumerate(notes)]
        run_id = store.open_run(questions=questions, recipes=[recipe], sources=[])
        registered = store.register(run_id, documents, questions, {Task.SEARCH: recipe})
        store.close_run(run_id, documents=registered.documents, refused=0)
        return list(registered.owed_document_ids)

    def submit(self, *notes: str, queries: Sequence[str] = ("fever",)) -> list[int]:
        """Registers and sends the messages."""
        ids = self.register(*notes, queries=queries)
        Store(self.database).mark_enqueued(ids)
        for document_id in ids:
            self.send(document_id=document_id)
        return ids

    def submit_as_producer(self, *notes: str, prefix: str, is_urgent: bool = False) -> None:
        """Notes named `PREFIX-0`, … with a search each, through `producer.submit`."""
        assert self.database
        submit(
            [Document(external_id=f"{prefix}-{number}", text=note) for number, note in enumerate(notes)],
            tasks=(),
            searches="fever",
            settings=self.settings(),
            serving=serving(self.settings()),
            is_urgent=is_urgent,
        )

    def start(
        self, *, seconds: float = 0, load_seconds: float = 0, is_stand_in: bool = True, **changes: Any
    ) -> Worker:
        """A worker process whose engine takes `load_seconds` to load and `seconds` for each answer."""
        assert self.database  # its tables are there before the worker
        settings = self.settings(**changes)
        environment = as_environment(settings) | {
            "PYTHONPATH": os.pathsep.join(map(str, [STAND_IN, ROOT] if is_stand_in else [ROOT])),
            "STAND_IN_FOLDER": str(self.folder),
            "STAND_IN_SECONDS": str(seconds),
            "STAND_IN_LOAD_SECONDS": str(load_seconds),
        }
        log_path = self.folder / f"worker-{len(self.started)}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                worker_command(settings), env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        self.started.append(Worker(process, log_path))
        return self.started[-1]

    @property
    def answers_asked(self) -> int:
        """The number of calls to the stand-in."""
        path = self.folder / "answered"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def column(self, statement: str) -> list[Any]:
        """The first column of a query."""
        with read_transaction(self.database) as connection:
            return list(connection.scalars(text(statement)))

    def statuses(self) -> list[str]:
        return self.column("SELECT status FROM jobs ORDER BY id")

    def until(self, condition: Callable[[], Any]) -> None:
        until(condition)

    def until_all(self, status: str) -> None:
        """Waits until every job has the status."""
        try:
            until(lambda: set(self.statuses()) == {status})
        except TimeoutError:
            logs = "\n".join(worker.log for worker in self.started)
            raise AssertionError(f"{self.statuses()}\n{logs}") from None

    def close(self) -> None:
        for worker in self.started:
            if worker.process.poll() is None:
                worker.signal(signal.SIGKILL)
                worker.process.wait()
        self.database.dispose()


@pytest.fixture
def workshop(tmp_path: Path, redis_url: str) -> Iterator[Workshop]:
    made = Workshop(tmp_path, f"sqlite:///{tmp_path / 'notemill.db'}", redis_url)
    yield made
    made.close()
