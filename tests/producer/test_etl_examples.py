"""The ETL examples run unchanged, each in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from redis_server import NIGHTLY_LIST

from models.answers import Task
from models.jobs import Serving
from models.messages import QUEUE_NAME, TASK_NAME
from models.outcomes import Failed, Reason
from models.queries.queries import Queries
from models.store.store import Store

pytest_plugins = ("redis_server",)

ROOT = Path(__file__).parents[2]
PROMPTS = {task.value: {"prompt": task.value} for task in Task}
SERVING = Serving(ingredients={"weights": "tiny", "tasks": PROMPTS})
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


def command(script: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "examples" / script), *arguments]


def environment(**settings: str) -> dict[str, str]:
    named = {f"NOTEMILL_{name.upper()}": value for name, value in settings.items()}
    return {**os.environ, "PYTHONPATH": str(ROOT), **named}


def waiting(redis_url: str) -> list[bytes]:
    client = redis.Redis(unix_socket_path=redis_url.removeprefix("redis+socket://"))
    return [*client.lrange(QUEUE_NAME, 0, -1), *client.lrange(NIGHTLY_LIST, 0, -1)]


def fail_everything(store: Store, queries: Queries) -> int:
    """Replaces a worker: fails every owed job and returns their number."""
    count = 0
    for document_id in queries.owed_documents(older_than_seconds=0, limit=9):
        (work,) = store.claim([document_id], worker="w", serving_id=SERVING.id, lease_seconds=9, max_kills=3)
        for job in work.jobs if work else ():
            count += sum(map(bool, store.record([(job, Failed(reason=Reason.TOO_LONG))])))
    return count


@on_sqlite
def test_the_etl_example_submits_waits_and_reads(
    store: Store, queries: Queries, store_url: str, redis_url: str
) -> None:
    store.announce(SERVING)
    given = environment(database_url=store_url, redis_url=redis_url)
    with subprocess.Popen(command("etl_submit.py"), env=given, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "2 notes registered\n"
        num_ended, deadline = 0, time.monotonic() + 30
        while num_ended < 6 and time.monotonic() < deadline:
            num_ended += fail_everything(store, queries)
        lines = process.stdout.read().splitlines()
    assert process.returncode == 1
    assert sorted(lines)[0] == "ED-2024-0001 entities: too_long"
    assert (len(lines), len(waiting(redis_url))) == (6, 2)


@on_sqlite
def test_the_etl_example_reports_a_missing_worker(store_url: str, redis_url: str) -> None:
    given = environment(database_url=store_url, redis_url=redis_url)
    ended = subprocess.run(command("etl_submit.py"), env=given, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == (
        "etl_submit: no worker has announced what it serves: start one with `notemill worker`\n"
    )


def test_the_plain_client_sends_the_documented_message(redis_url: str) -> None:
    subprocess.run(command("plain_celery_client.py", redis_url, "17"), check=True, env=environment())
    (message,) = waiting(redis_url)
    assert json.loads(message)["headers"]["task"] == TASK_NAME
    assert json.loads(message)["headers"]["kwargsrepr"] == "{'document_id': 17}"


def test_the_plain_client_prints_its_usage() -> None:
    ended = subprocess.run(command("plain_celery_client.py"), capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "usage: plain_celery_client.py REDIS_URL DOCUMENT_ID\n")


def test_a_producer_imports_no_torch() -> None:
    code = "import sys, producer; sys.exit('torch' in sys.modules or 'worker' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())
