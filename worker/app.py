"""The Celery application, `celery -A worker.app:app worker`, with the reason for every Celery setting.

The only module that works at import: it reads the settings, because Celery needs a ready application when
it imports the module. `worker.queue.startup` loads the weights when the worker starts.
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
    """Celery with the settings and the worker context of this process."""

    settings: Settings
    load_engine: LoadEngine
    context: WorkerContext
    """Set when the worker starts, before the first message."""


def make_app(settings: Settings, *, load_engine: LoadEngine = load) -> Application:
    """The application for these settings; its worker uses the engine that `load_engine` returns.
    Raises SettingsError without a Redis URL."""
    application = Application("notemill", amqp=CheckedAMQP, set_as_current=True)
    application.settings = settings
    application.load_engine = load_engine
    application.conf.update(_configuration(settings))
    application.steps["worker"].add(Start)

    # Not shared: Celery would give the task of the first application to a second one in the same process.
    @application.task(name=TASK_NAME, shared=False)  # type: ignore[untyped-decorator]
    def process_document(document_id: int) -> None:
        document_task.process_document(document_id, application.context)

    return application


def _configuration(settings: Settings) -> dict[str, Any]:
    url = settings.redis_url.get_secret_value()
    if not url:
        raise SettingsError(
            "NOTEMILL_REDIS_URL is not set: set it, or type `notemill worker`, which starts its own Redis"
        )
    return {
        "broker_url": url,
        # By default kombu trusts any certificate for rediss://.
        "broker_use_ssl": {"ssl_cert_reqs": ssl.CERT_REQUIRED} if url.startswith("rediss://") else None,
        # Wait without limit for a Redis that is not up yet or restarts.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # Also for one that refuses writes, full or still a replica: otherwise Celery ends the worker.
        "broker_channel_error_retry": True,
        "broker_transport_options": {
            # Redis lists are polled in this order of priority: urgent messages come first.
            "priority_steps": PRIORITY_STEPS,
            # Seconds after which an unacknowledged message is delivered again. Longer than a document may
            # take; a second delivery finds no owed job.
            "visibility_timeout": int(2 * settings.time_limit_seconds) + 600,
            # Without a timeout kombu waits forever on a dead connection.
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
        },
        # One queue, on the nameless exchange (see QUEUE); a mistyped name after -Q is an error.
        "task_queues": [QUEUE],
        "task_default_queue": QUEUE_NAME,
        "task_default_exchange": "",
        "task_default_routing_key": QUEUE_NAME,
        "task_create_missing_queues": False,
        # Acknowledge at the end, so that the messages of a killed worker come back.
        "task_acks_late": True,
        # An unexpected error is counted in SQL, and the sweep enqueues the document again.
        "task_acks_on_failure_or_timeout": True,
        # The same for a pool of processes. Celery delivers a note that kills its process forever (celery
        # issue 9082); the count of claims in SQL limits that.
        "task_reject_on_worker_lost": True,
        # A thread takes a message when it can begin with it; the others wait in Redis, where any
        # worker can take them.
        "worker_prefetch_multiplier": 1,
        # Threads share one copy of the weights, and `inspect ping` is answered while the GPU is busy.
        "worker_pool": "threads",
        "worker_concurrency": settings.worker_threads,
        # A thread cannot be cancelled when the connection is lost; it finishes, and SQL stores its answer.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # No time limits here: a pool of threads ignores them. See worker.queue.engine_deadline.
        # No result backend: results are rows, and a second copy of patient text is a second place to guard.
        "result_backend": None,
        "task_ignore_result": True,
        # JSON only: a pickle would let whoever can write to Redis run code.
        "task_serializer": "json",
        "accept_content": ["json"],
        # No events for monitors: they carry a repr of the arguments.
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        # Rejects malformed messages without logging their body.
        "worker_consumer": CheckedConsumer,
        # worker.telemetry.safe_logging configures logging; Celery would add handlers to the root logger.
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


@setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logging(**_arguments: Any) -> None:
    safe_logging.configure(app.settings.log_level, app.settings.log_format)


# Celery warns root users of pickled code from Redis; this application accepts JSON only.
warnings.filterwarnings("ignore", category=SecurityWarning)
try:
    app = make_app(load_settings())
except NotemillError as error:
    sys.exit(str(error))
