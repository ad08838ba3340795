"""One input, tried: what came of it, within which time, and whether that is what may come of it."""

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
"""More than a target's process has when it begins: it is a fork, of a test run say that holds gigabytes."""
_MOST_CHARACTERS = 2_000
"""Of what an operator is told, who may have forty columns; a reason has fewer."""
NOTE_WORDS = f"{CANARY.decode()} has chest pain"


@dataclass(frozen=True)
class FuzzTarget:
    """Something that reads. `make` draws an input, `read` gives what came of it: `read` or `refused`."""

    name: str
    make: Callable[[random.Random], Any]
    read: Callable[[Any, Path], str]
    share: float = 1.0
    """Of inputs, beside the other targets'."""
    close: Callable[[], None] = lambda: None
    """After the last input."""


@dataclass
class FuzzFigures:
    """Of one target."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    """Number of the input and what went wrong."""
    slowest_seconds: float = 0.0
    peak_mib: int = 0


class LeakError(AssertionError):
    """A reason has words of the note."""


def run_inputs(target: FuzzTarget, seed: int, numbers: range, folder: Path) -> FuzzFigures:
    """All of these inputs. The one in hand is beside, for when the process dies of it."""
    most = _held_bytes() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    signal.signal(signal.SIGALRM, _too_slow)
    figures = FuzzFigures()
    for number in numbers:
        given = target.make(random.Random(f"{seed} {target.name} {number}"))
        (folder / "number").write_text(str(number))
        began = time.monotonic()
        outcome = _tried(target, given, folder, figures, number)
        figures.outcomes[outcome] += 1
        figures.slowest_seconds = max(figures.slowest_seconds, time.monotonic() - began)
    target.close()
    figures.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return figures


def _held_bytes() -> int:
    """What RLIMIT_DATA counts of this process; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    told = status.read_text().partition("VmData:")[2].split() if status.exists() else []
    return 1024 * int(told[0]) if told else 0


def _tried(target: FuzzTarget, given: Any, folder: Path, figures: FuzzFigures, number: int) -> str:
    signal.alarm(LIMIT_SECONDS)
    try:
        return target.read(given, folder)
    except NotemillError as error:
        if len(str(error)) < _MOST_CHARACTERS and NOTE_WORDS not in str(error):
            return "told"
        figures.failures.append(f"{target.name} {number}: told {len(str(error))} characters")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        figures.failures.append(f"{target.name} {number}: {type(error).__name__} at {place}: {error!s:.200}")
    finally:
        signal.alarm(0)
    return "failed"


def checked_reason(reason: str) -> None:
    """Raises LeakError where a refusal quotes, or is no short fixed phrase."""
    if len(reason) > 120 or CANARY.decode() in reason:
        raise LeakError(f"a reason of {len(reason)} characters, or with the note's words")


def _too_slow(_signal: int, _frame: Any) -> None:
    raise TimeoutError(f"longer than {LIMIT_SECONDS} s")
