"""A Celery client that knows nothing of notemill but the contract in models/messages.py.

    python examples/plain_celery_client.py redis://localhost:6379/0 17

It asks the workers to look at what the database owes for document 17. Sent once too often, the
message does nothing; for a document that is not there, nothing as well. So anything that can speak
Celery's protocol may send it: another language, a cron job, a Flower console.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sys

from celery import Celery


def main(redis_url: str, document_id: str) -> None:
    client = Celery(broker=redis_url)
    client.send_task(
        "notemill.process_document",
        # The id alone, as a whole number. Celery copies arguments into headers, events and logs, so
        # text of a patient must never be one.
        kwargs={"document_id": int(document_id)},
        # Where the workers have a NOTEMILL_MESSAGE_KEY, what proves that we have it too; refused otherwise.
        headers={"notemill_signature": signature(document_id)},
        queue="notemill",
        # Behind urgent documents, with those of nightly runs; without a priority it would be before them.
        priority=9,
        # The answer is in SQL; workers keep no results in Redis.
        ignore_result=True,
    )


def signature(document_id: str) -> str:
    """HMAC-SHA256 over the task's name, a colon and the id; ignored where the workers have no key."""
    key = os.environ.get("NOTEMILL_MESSAGE_KEY", "").encode()
    return hmac.new(key, f"notemill.process_document:{int(document_id)}".encode(), hashlib.sha256).hexdigest()


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[2].isdigit():
        sys.exit("usage: plain_celery_client.py REDIS_URL DOCUMENT_ID")
    main(sys.argv[1], sys.argv[2])
