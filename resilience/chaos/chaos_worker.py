"""The Celery application of a chaos run's workers: the real one, with injection points for faults."""

from __future__ import annotations

import os
import signal
from typing import Any

from models.schema import database
from models.settings import load_settings
from models.store import answers
from models.store.store import Store
from resilience.chaos import fault_triggers
from resilience.chaos.deterministic_engine import load_instant, load_real
from worker.app import make_app

database.BUSY_TIMEOUT_SECONDS = 1.0  # so that a lock held for two seconds is too long
database.IDLE_TRANSACTION_SECONDS = 8.0  # so that some frozen transactions last longer
_write, _record = answers.record_outcomes, Store.record


def _write_or_kill(*arguments: Any) -> Any:
    """Kills the process after all statements, before the commit."""
    result = _write(*arguments)
    if fault_triggers.trigger(fault_triggers.KILL_BEFORE_COMMIT):
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def _record_and_kill(*arguments: Any) -> Any:
    """Kills the process after the commit, before the message is acknowledged."""
    recorded = _record(*arguments)
    if fault_triggers.trigger(fault_triggers.KILL_AFTER_COMMIT):
        os.kill(os.getpid(), signal.SIGKILL)
    return recorded


answers.record_outcomes = _write_or_kill
Store.record = _record_and_kill  # type: ignore[method-assign]
app = make_app(load_settings(), load_engine=load_real if os.environ["CHAOS_IS_REAL"] else load_instant)
app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    "visibility_timeout": int(os.environ["CHAOS_VISIBILITY_SECONDS"]),
}
