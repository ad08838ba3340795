"""Thread dump: SIGUSR1 prints the call stack of every thread of a worker to standard error.

Celery's own dump shows local variables, and with them notes. `faulthandler` reads the frames of running
threads, which crashed a worker on Python 3.11 (SIGSEGV). Here a thread reads them while it holds the
interpreter lock and waits for no other lock, which a signal handler cannot guarantee. A call that never
releases the interpreter lock is not shown; py-spy shows it.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from threading import Thread
from threading import enumerate as all_threads
from types import FrameType


def dump_threads_on_signal() -> None:
    """Installs the handler; call it in the main thread."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
    # Python writes the number of each signal there at once, whatever the main thread is doing.
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    Thread(target=_dump_on_request, args=(read_end,), name="thread_dump", daemon=True).start()


def _dump_on_request(read_end: int) -> None:
    while numbers := os.read(read_end, 64):
        if signal.SIGUSR1 in numbers:
            # Celery redirects sys.stderr into its log, where each line is a record.
            print(_threads(), file=sys.__stderr__, flush=True)


def _threads() -> str:
    names = {thread.ident: thread.name for thread in all_threads()}
    return "\n".join(
        f"Thread {names.get(thread, thread)}, most recent call first:\n{_calls(frame)}"
        for thread, frame in sys._current_frames().items()
    )


def _calls(frame: FrameType) -> str:
    return "".join(
        f"  {called.f_code.co_filename}:{line} in {called.f_code.co_name}\n"
        for called, line in traceback.walk_stack(frame)
    )
