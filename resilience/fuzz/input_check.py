"""Runs the inputs of one target with limits of time and memory, and checks each outcome."""

from __future__ import annotations

import random
import resource
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.errors import NotemillError
from resilience.fuzz.mutations import CANARY

LIMIT_SECONDS = 20
MEMORY_BYTES = 2 * 2**30
"""Added to the memory at the start: the process is a fork, for example of a test run that holds gigabytes."""
_MAX_MESSAGE_CHARACTERS = 2_000
"""Length of a message for the operator, which may list forty columns; reasons are shorter."""
NOTE_WORDS = f"{CANARY.decode()} has chest pain"


@dataclass(frozen=True)
class FuzzTarget:
    """Code that reads input. `make` draws an input; `read` returns its outcome, `read` or `refused`."""

    name: str
    make: Callable[[random.Random], Any]
    read: Callable[[Any, Path], str]
    share: float = 1.0
    """Share of the inputs, relative to the other targets."""
    close: Callable[[], None] = lambda: None
    """Called after the last input."""


@dataclass
class FuzzFigures:
    """Outcomes of one target."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """One line each: the number of the input and the reason."""
    slowest_seconds: float = 0.0
    peak_mib: int = 0


class LeakError(AssertionError):
    """A reason contains words of the note."""


def run_inputs(target: FuzzTarget, seed: int, numbers: range, folder: Path) -> FuzzFigures:
    """Runs these inputs. The file `number` holds the current one, in case the process dies."""
    limit = _data_bytes() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    signal.signal(signal.SIGALRM, _on_alarm)
    figures = FuzzFigures()
    for number in numbers:
        given = target.make(random.Random(f"{seed} {target.name} {number}"))
        (folder / "number").write_text(str(number))
        began = time.monotonic()
        outcome = _outcome(target, given, folder, figures, number)
        figures.outcomes[outcome] += 1
        figures.slowest_seconds = max(figures.slowest_seconds, time.monotonic() - began)
    target.close()
    figures.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return figures


def _data_bytes() -> int:
    """Memory that RLIMIT_DATA counts for this process; 0 if the system does not report it."""
    status = Path("/proc/self/status")
    fields = status.read_text().partition("VmData:")[2].split() if status.exists() else []
    return 1024 * int(fields[0]) if fields else 0


def _outcome(target: FuzzTarget, given: Any, folder: Path, figures: FuzzFigures, number: int) -> str:
    signal.alarm(LIMIT_SECONDS)
    try:
        return target.read(given, folder)
    except NotemillError as error:
        if len(str(error)) < _MAX_MESSAGE_CHARACTERS and NOTE_WORDS not in str(error):
            return "told"
        figures.failures.append(f"{target.name} {number}: a message of {len(str(error))} characters")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        frame = traceback.extract_tb(error.__traceback__)[-1]
        location = f"{Path(frame.filename).name}:{frame.lineno}"
        figures.failures.append(
            f"{target.name} {number}: {type(error).__name__} at {location}: {error!s:.200}"
        )
    finally:
        signal.alarm(0)
    return "failed"


def checked_reason(reason: str) -> None:
    """Raises LeakError when a refusal quotes the note or is not a short fixed phrase."""
    if len(reason) > 120 or CANARY.decode() in reason:
        raise LeakError(f"a reason of {len(reason)} characters, or one with words of the note")


def _on_alarm(_signal: int, _frame: Any) -> None:
    raise TimeoutError(f"longer than {LIMIT_SECONDS} s")
