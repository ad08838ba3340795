"""Where every thread of a worker is, in its log, when it gets SIGUSR1: the answer to one that seems to hang.

Celery's own answer shows local variables too, and with them the notes. `faulthandler` reads the frames of
threads while they run, and with Python 3.11 a worker died of it (SIGSEGV). Here a thread reads them, with the
interpreter's lock held, and waits for no other: what a handler of the signal can't do, which may have
interrupted one that holds a lock. A call that never gives the interpreter's lock back isn't shown; py-spy
shows it.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from threading import Thread
from threading import enumerate as all_threads
from types import FrameType


def show_threads_on_signal() -> None:
    """To be called in the main thread; what is shown goes to stderr."""
    asked, ask = os.pipe()
    os.set_blocking(ask, False)
    signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
    # The number of each signal is written there at once, whatever the main thread is at.
    signal.set_wakeup_fd(ask, warn_on_full_buffer=False)
    Thread(target=_show_when_asked, args=(asked,), name="shows threads", daemon=True).start()


def _show_when_asked(asked: int) -> None:
    while numbers := os.read(asked, 64):
        if signal.SIGUSR1 in numbers:
            # Celery makes sys.stderr write into its log, where each line is a record.
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
