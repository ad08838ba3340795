"""Standard output and standard error, with text of notes made harmless for a terminal.

A note can hold any character; none may move the cursor, ring the bell, hide or recolour anything.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from datetime import datetime
from pathlib import Path

from rich.console import Console

from models.control_characters import control_pictures

_WIDTH_WITHOUT_TERMINAL = 120


def stdout() -> Console:
    """The stream for results."""
    return _console(is_stderr=False)


def stderr() -> Console:
    """The stream for messages."""
    return _console(is_stderr=True)


def command_to_type(*words: str) -> str:
    """A notemill command as this user can type it, such as `.venv/bin/notemill show 7`."""
    return " ".join([_started_as(), *map(shlex.quote, words)])


def printable(text: str) -> str:
    """`text` with line ends as line feeds, and control characters as their visible pictures."""
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_PICTURES)


def shortened(text: str, characters: int) -> str:
    """One harmless line of at most so many characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= characters else line[: characters - 1] + "…"


def human_duration(seconds: float) -> str:
    """A duration such as '850 ms', '42 s', '3 min 5 s' or '2 h 10 min'."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def human_time(moment: datetime | str | None) -> str:
    """A moment in local time to the second; '–' where there is none."""
    if moment is None:
        return "–"
    parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{parsed.astimezone():%Y-%m-%d %H:%M:%S}"


def human_bytes(count: float) -> str:
    """A size such as '88 MB' or '4.1 GB'."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit in ("bytes", "kB") or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def count_of(number: int, noun: str, plural: str = "") -> str:
    """A count with its noun, such as '1 note' or '1,200 notes'."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _console(*, is_stderr: bool) -> Console:
    stream = sys.stderr if is_stderr else sys.stdout
    # Without a terminal rich would cut tables at 80 columns; COLUMNS still has its say.
    is_wide = not stream.isatty() and not shutil.get_terminal_size((0, 0)).columns
    return Console(
        stderr=is_stderr,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        width=_WIDTH_WITHOUT_TERMINAL if is_wide else None,
    )


def _started_as() -> str:
    script = Path(sys.argv[0])
    if script.name != "notemill":
        python = _shortest(Path(sys.executable)) if script.name != "pytest" else "python"
        return f"{python} {_shortest(script)}" if script.suffix == ".py" else "notemill"
    installed = shutil.which("notemill")
    if installed is not None and script.exists() and Path(installed).samefile(script):
        return "notemill"
    return _shortest(script)


def _shortest(path: Path) -> str:
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  resolve() would follow .venv/bin/python out of the venv
    if absolute.is_relative_to(Path.cwd()):
        relative = str(absolute.relative_to(Path.cwd()))
        return shlex.quote(relative if "/" in relative or relative.endswith(".py") else f"./{relative}")
    return shlex.quote(str(absolute))


_PICTURES = control_pictures("\t\n")
