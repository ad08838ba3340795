"""Exit statuses; prints every error as one line with its cause and the command to type.

Never prints a traceback: it could quote a note.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from typer.exceptions import TyperException

from console.terminal.terminal import command_to_type
from models.errors import NotemillError, UsageError
from models.host import disable_core_dumps

PROBLEM = 1
USAGE = 2
UNFINISHED = 75
"""EX_TEMPFAIL of sysexits.h, which schedulers know."""
INTERRUPTED = 128 + signal.SIGINT
_CLOSED_PIPE = 128 + signal.SIGPIPE
MEANINGS = {
    0: "all is well",
    PROBLEM: "failed jobs, or something is out of order",
    USAGE: "the command, a setting or a plan is wrong",
    UNFINISHED: "of `nightly`: the time was over, the rest is left for the next run",
    INTERRUPTED: "stopped by Ctrl-C",
    _CLOSED_PIPE: "the reader of the output closed the pipe",
    128 + signal.SIGTERM: "stopped by SIGTERM",
}
"""Every exit status; `--help` and docs/reference/exit-status.md list them from here."""


class Terminated(BaseException):
    """SIGTERM or SIGHUP came: unwinds the stack, which stops the processes that were started."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_status = 128 + number


def run_to_exit(command: Callable[..., Any], arguments: list[str] | None = None) -> int:
    """Runs a typer application and returns its exit status; every error becomes one line on stderr."""
    disable_core_dumps()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup has said that the terminal may close
            signal.signal(number, _terminate)
    try:
        return _run(command, arguments)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(command: Callable[..., Any], arguments: list[str] | None) -> int:
    try:
        status = command(args=arguments, prog_name="notemill", standalone_mode=False)
        sys.stdout.flush()
    except TyperException as error:
        message = error.format_message()
        if not message.strip():
            return error.exit_code  # no verb was given, and the help is printed already
        return _print_error(f"{_sentence(message)} Type: {_help_command(error)}", error.exit_code)
    except NotemillError as error:
        return _print_error(str(error), USAGE if isinstance(error, UsageError) else PROBLEM)
    except (KeyboardInterrupt, Terminated) as error:
        return error.exit_status if isinstance(error, Terminated) else INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE
    except OSError as error:
        return _print_error(
            f"{error.filename or 'the system'}: {error.strerror or type(error).__name__}", PROBLEM
        )
    except Exception as error:  # noqa: BLE001  a surprise: its text may quote a note, its place does not
        return _print_error(
            f"a surprise, {type(error).__name__} at {_code_location(error)}. Please report it.", PROBLEM
        )
    return status if isinstance(status, int) else 0


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise Terminated(number)


def _print_error(message: str, status: int) -> int:
    line = " ".join(message.split())
    print(f"notemill: {line}", file=sys.stderr)
    return status


def _sentence(message: str) -> str:
    words = message.strip()
    return words if words.endswith((".", "?", "!")) else words + "."


def _help_command(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "notemill").split()[1:]
    return command_to_type(*path, "--help")


def _code_location(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[:-4:-1])
