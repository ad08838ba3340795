"""The Celery application: `celery -A worker.app:app worker`. Every setting with its why.

The one module with work at import: it reads the settings, because Celery wants an application that
is ready when the module is. The weights are loaded at the worker's start (`worker.queue.startup`), not here.
"""

from __future__ import annotations

import ssl
import sys
import warnings
from typing import Any

from celery import Celery
from celery.platforms import SecurityWarning
from celery.signals import setup_logging

from models.errors import NotemillError
from models.messages import PRIORITY_STEPS, QUEUE_NAME, TASK_NAME
from models.settings import Settings, SettingsError, load_settings
from worker.engine_factory import LoadEngine, load
from worker.queue import document_task
from worker.queue.message_validation import CheckedAMQP, CheckedConsumer
from worker.queue.startup import Start
from worker.queue.sweeper import QUEUE
from worker.queue.worker_context import WorkerContext
from worker.telemetry import safe_logging


class Application(Celery):  # type: ignore[misc]
    """Celery with what our tasks need."""

    settings: Settings
    load_engine: LoadEngine
    workplace: WorkerContext
    """There from the worker's start on, before the first message."""


def make_app(settings: Settings, *, load_engine: LoadEngine = load) -> Application:
    """The application for these settings, its worker with the engine that `load_engine` makes of them.
    Raises SettingsError without a Redis URL."""
    made = Application("notemill", amqp=CheckedAMQP, set_as_current=True)
    made.settings = settings
    made.load_engine = load_engine
    made.conf.update(_configuration(settings))
    made.steps["worker"].add(Start)

    # Not shared: Celery would hand the first application's task to a second one of the process.
    @made.task(name=TASK_NAME, shared=False)  # type: ignore[untyped-decorator]
    def process_document(document_id: int) -> None:
        document_task.process_document(document_id, made.workplace)

    return made


def _configuration(settings: Settings) -> dict[str, Any]:
    url = settings.redis_url.get_secret_value()
    if not url:
        raise SettingsError(
            "NOTEMILL_REDIS_URL is not set: set it, or type `notemill worker`, which starts its own Redis"
        )
    return {
        "broker_url": url,
        # kombu's default for rediss:// is to trust any certificate.
        "broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_REQUIRED} if url.startswith("rediss://") else None,
        # Wait for a Redis that is not up yet, and for one that restarts, for as long as it takes.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # And for one that answers, but takes nothing: full, or a replica still. Celery would end the worker.
        "broker_channel_error_retry": True,
        "broker_transport_options": {
            # The lists of these priorities are asked in this order: urgent messages come first.
            "priority_steps": PRIORITY_STEPS,
            # A message not acknowledged for so long is delivered again. Longer than a document may
            # take; should it come twice all the same, the second finds nothing owed.
            "visibility_timeout": int(2 * settings.time_limit_seconds) + 600,
            # kombu waits forever on a connection that died without a word.
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
        },
        # One queue, on the nameless exchange (see QUEUE); a name mistyped with -Q is an error.
        "task_queues": [QUEUE],
        "task_default_queue": QUEUE_NAME,
        "task_default_exchange": "",
        "task_default_routing_key": QUEUE_NAME,
        "task_create_missing_queues": False,
        # Acknowledged when done, so that a killed worker's messages come back.
        "task_acks_late": True,
        # A surprise is counted in SQL and comes back through the sweep; its message is done with.
        "task_acks_on_failure_or_timeout": True,
        # Says the same for a pool of processes. Celery has no cap on it (celery issue 9082: a note that
        # kills its process is delivered forever); ours is the count of claims in SQL.
        "task_reject_on_worker_lost": True,
        # A thread takes a message when it can begin with it: what waits, waits in Redis, where any
        # worker may have it.
        "worker_prefetch_multiplier": 1,
        # Threads share one copy of the weights, and `inspect ping` is answered while the GPU is busy.
        "worker_pool": "threads",
        "worker_concurrency": settings.worker_threads,
        # A thread cannot be cancelled when Redis goes away; it finishes, and SQL takes its answer.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # No time limits here: a pool of threads ignores them. Ours are in worker.queue.engine_deadline.
        # No result backend: results are rows, and a second copy of anything is a second place to guard.
        "result_backend": None,
        "task_ignore_result": True,
        # JSON alone: a pickle from Redis would be code of whoever can write there.
        "task_serializer": "json",
        "accept_content": ["json"],
        # Monitors get no events; those carry a repr of the arguments, which for us are ids anyway.
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        # Bad messages are rejected in fixed words, instead of being logged with their body.
        "worker_consumer": CheckedConsumer,
        # Logging is ours (worker.telemetry.safe_logging); Celery would put its own handlers on the root logger.
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


@setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logging(**_arguments: Any) -> None:
    safe_logging.configure(app.settings.log_level, app.settings.log_format)


# Celery warns a root user, as in a container, of pickled code from Redis; we take none.
warnings.filterwarnings("ignore", category=SecurityWarning)
try:
    app = make_app(load_settings())
except NotemillError as error:
    sys.exit(str(error))
