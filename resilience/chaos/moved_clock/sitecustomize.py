"""On the PYTHONPATH of a worker: its clock, as Python tells it, is so many seconds off."""

import os
import time

_SECONDS = float(os.environ.get("CHAOS_CLOCK_SECONDS", "0"))
_true_time = time.time

if _SECONDS:
    time.time = lambda: _true_time() + _SECONDS
