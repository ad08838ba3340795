"""Moves Python's clock by CHAOS_CLOCK_SECONDS in a process that has this folder on its PYTHONPATH."""

import os
import time

_SECONDS = float(os.environ.get("CHAOS_CLOCK_SECONDS", "0"))
_true_time = time.time

if _SECONDS:
    time.time = lambda: _true_time() + _SECONDS
