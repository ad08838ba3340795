"""Where every thread of a worker is, in its log, when it gets SIGUSR1: the answer to one that seems to hang.

Celery's own answer shows local variables too, and with them the notes. `faulthandler` reads the frames of
threads while they run, and with Python 3.11 a worker died of it (SIGSEGV); here Python reads them itself,
with the interpreter's lock held. So a call that never gives the lock back isn't shown; py-spy shows it.
"""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from types import FrameType


def show_threads_on_signal() -> None:
    """To be called in the main thread, which runs the handlers of signals; what it shows goes to stderr."""
    signal.signal(signal.SIGUSR1, _show_threads)


def _show_threads(_number: int, _frame: FrameType | None) -> None:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    shown = [
        f"Thread {names.get(thread, thread)}, most recent call first:\n{_calls(frame)}"
        for thread, frame in sys._current_frames().items()
    ]
    # Celery makes sys.stderr write into its log, where each line is a record.
    print("\n".join(shown), file=sys.__stderr__, flush=True)


def _calls(frame: FrameType) -> str:
    return "".join(
        f"  {called.f_code.co_filename}:{line} in {called.f_code.co_name}\n"
        for called, line in traceback.walk_stack(frame)
    )
