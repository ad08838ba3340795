"""A producer process: submits a range of notes, ten a transaction, and writes its run id to a file.

python -m resilience.chaos.chaos_producer GROUP FIRST COUNT FILE
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from models.errors import NotemillError
from models.settings import load_settings
from models.store import registration
from models.store.store import Store
from producer.submission import record_registration
from producer.submission.submit import NotEnqueuedError, submit
from resilience.chaos import fault_triggers
from resilience.chaos.chaos_notes import SEARCHES, documents
from worker.recipe import serving

record_registration.BATCH_DOCUMENTS = 10
_write, _register = registration.join_run, Store.register


def _write_or_kill(*arguments: Any, **options: Any) -> Any:
    """Kills the process after all statements of a batch, before the commit."""
    result = _write(*arguments, **options)
    if fault_triggers.trigger(fault_triggers.PRODUCER_KILLED_BEFORE_COMMIT):
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def _register_and_kill(*arguments: Any, **options: Any) -> Any:
    """Kills the process after the commit, before any message is sent."""
    registered = _register(*arguments, **options)
    if fault_triggers.trigger(fault_triggers.PRODUCER_KILLED_AFTER_COMMIT):
        os.kill(os.getpid(), signal.SIGKILL)
    return registered


registration.join_run = _write_or_kill
Store.register = _register_and_kill  # type: ignore[method-assign]


def main(group: str, first: str, count: str, file: str) -> int:
    settings = load_settings()
    try:
        submitted = submit(
            documents(group, int(first), int(count)),
            tasks=(),
            searches=SEARCHES,
            settings=settings,
            serving=serving(settings),
        )
    except NotEnqueuedError as error:  # everything is registered; the sweep enqueues it
        submitted = error.submitted
    except NotemillError as error:
        print(error, file=sys.stderr)
        return 1
    Path(file).write_text(str(submitted.run_id))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
