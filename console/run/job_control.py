"""`notemill retry`, `cancel` and `sweep`: change which jobs are owed."""

from __future__ import annotations

from collections.abc import Sequence

from console.processes import redis_client
from console.processes.embedded_redis import embedded_url
from console.terminal.opened_database import Database, database
from console.terminal.terminal import command_to_type, count_of, stdout
from models.errors import UsageError
from models.outcomes import Reason
from models.settings import Settings, load_settings

_SWEEP_DOCUMENTS = 100_000


def retry(run_id: int | None, reason: str | None) -> int:
    """Makes failed jobs owed again and enqueues their documents."""
    failure_reason = _reason(reason)
    settings = load_settings()
    with database(settings) as opened:
        if run_id is not None:
            opened.queries.run_progress(run_id)
        documents = opened.store.retry(run_id=run_id, reason=failure_reason)
        _say_and_enqueue(settings, opened, documents, "Nothing has failed so.")
    return 0


def cancel(run_id: int) -> int:
    """Cancels the waiting jobs of a run."""
    with database(load_settings()) as opened:
        cancelled = opened.store.cancel(run_id)
    console = stdout()
    console.print(f"Run {run_id}: {count_of(cancelled, 'waiting job')} cancelled; answers stay.")
    return 0


def sweep() -> int:
    """Enqueues every document that SQL says is owed."""
    settings = load_settings()
    with database(settings) as opened:
        owed = opened.queries.owed_documents(older_than_seconds=0, limit=_SWEEP_DOCUMENTS)
        urgent = opened.queries.owed_documents(older_than_seconds=0, limit=_SWEEP_DOCUMENTS, is_urgent=True)
        _say_and_enqueue(settings, opened, owed, "Nothing is owed.", urgent)
    return 0


def _say_and_enqueue(
    settings: Settings, opened: Database, documents: Sequence[int], none: str, urgent: Sequence[int] = ()
) -> None:
    console = stdout()
    if not documents:
        return console.print(none)
    notes = count_of(len(documents), "note")
    url = settings.redis_url.get_secret_value() or embedded_url(settings)
    if settings.is_redis_embedded and not redis_client.ping(url):
        words = f"{notes} owed. No worker runs here now; type: {command_to_type('worker')}"
        return console.print(words, soft_wrap=True)
    from producer.submission.redis_publisher import RedisPublisher

    with RedisPublisher(url, settings.message_key.get_secret_value()) as enqueuer:
        enqueuer.send(urgent, is_urgent=True)
        enqueuer.send([document_id for document_id in documents if document_id not in set(urgent)])
    opened.store.mark_enqueued(documents)
    return console.print(f"{notes} enqueued.")


def _reason(name: str | None) -> Reason | None:
    try:
        return None if name is None else Reason(name)
    except ValueError:
        raise UsageError(f"there is no reason {name!r}. Reasons: {', '.join(Reason)}.") from None
