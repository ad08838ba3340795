"""Log lines that cannot carry a note: what others log is kept to its fixed words, numbers and types.

Celery logs whole message bodies and exception texts, and an exception may quote what it choked on.
Our own records are printed as they are: they hold ids, counts, durations and reasons. As lines to read, or as
a JSON object a line for a collector of logs (structlog), with the ids of what is in hand as members.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Literal

import structlog
from structlog.typing import EventDict, WrappedLogger

OURS = ("worker", "models", "notemill")
"""Loggers of our own rooms, which follow rule 17 of the house: no text in a log."""


class CautiousFormatter(logging.Formatter):
    """Time, level, logger and message; of an exception its type and where, never its text."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return super().format(_cautious(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 (the name is logging's)
        error = ei[1] if isinstance(ei, tuple) else None
        return f"{type(error).__name__} at {where(error)}" if error is not None else ""


class JsonFormatter(structlog.stdlib.ProcessorFormatter):
    """The same as a JSON object a line: `time`, `level`, `logger`, `message`, of an exception its `error`,
    and what `about` has named."""

    def __init__(self) -> None:
        super().__init__(
            use_get_message=True,
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
            ],
            processors=[
                self.remove_processors_meta,
                _error_without_text,
                structlog.processors.EventRenamer("message"),
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )

    def format(self, record: logging.LogRecord) -> str:
        return super().format(_cautious(record))


@contextmanager
def about(**ids: int | str | None) -> Iterator[None]:
    """JSON lines of this thread name these ids while the block lasts; never text."""
    with structlog.contextvars.bound_contextvars(
        **{name: one for name, one in ids.items() if one is not None}
    ):
        yield


def configure(level: str, form: Literal["console", "json"] = "console") -> None:
    """Sends every logger to standard error through a cautious formatter, uncaught errors too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else CautiousFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.raiseExceptions = False  # it would print the arguments of a record that cannot be formatted
    # Below INFO others log values by the thousand; at INFO Celery repeats what tasks say better.
    for noisy in ("celery", "kombu", "alembic", "transformers", "urllib3", "filelock", "httpx2", "httpcore2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    sys.excepthook = _report
    threading.excepthook = lambda failed: _report(failed.exc_type, failed.exc_value, failed.exc_traceback)


def where(error: BaseException) -> str:
    """`file.py:LINE in function` of the three innermost calls, outermost first."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames)


def _report(kind: type[BaseException], error: BaseException | None, _trace: TracebackType | None) -> None:
    location = where(error) if error is not None else "?"
    logging.getLogger("worker").critical("uncaught %s at %s", kind.__name__, location)


def _error_without_text(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    given = event.pop("exc_info", None)
    event.pop("stack_info", None)
    error = given[1] if isinstance(given, tuple) else None
    return {**event, "error": f"{type(error).__name__} at {where(error)}"} if error is not None else event


def _cautious(record: logging.LogRecord) -> logging.LogRecord:
    return record if record.name.partition(".")[0] in OURS else _without_values(record)


def _without_values(record: logging.LogRecord) -> logging.LogRecord:
    """A copy whose arguments are numbers, type names of exceptions, or dots."""
    copy = logging.makeLogRecord({**record.__dict__, "exc_text": None, "stack_info": None})
    if isinstance(record.args, tuple):
        copy.args = tuple(_masked(value) for value in record.args)
    elif record.args and "%(" in str(record.msg):
        copy.args = {key: _masked(value) for key, value in record.args.items()}
    elif record.args:  # logging unpacks a single dictionary, whose keys would be printed
        copy.args = ("…",)
    try:
        copy.getMessage()
    except (TypeError, ValueError):  # a number was asked for
        copy.args = None
    return copy


def _masked(value: object) -> object:
    if isinstance(value, int | float | None):
        return value
    return type(value).__name__ if isinstance(value, BaseException) else "…"
