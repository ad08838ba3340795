"""Logging without patient text: records of other libraries are reduced to fixed words, numbers and types.

Celery logs message bodies and exception texts, and an exception may quote its input. Our own records hold
ids, counts, durations and reasons, and are printed as they are. Output is lines to read, or a JSON object a
line for log collectors (structlog) with the ids of the document in progress.
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
"""Loggers of our own packages, which never log text of a note."""


class TextFreeFormatter(logging.Formatter):
    """Formats time, level, logger and message; of an exception its type and place, never its text."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return super().format(_without_text(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 (the name is logging's)
        error = ei[1] if isinstance(ei, tuple) else None
        return f"{type(error).__name__} at {where(error)}" if error is not None else ""


class JsonFormatter(structlog.stdlib.ProcessorFormatter):
    """Formats a record as one JSON object: `time`, `level`, `logger`, `message`, `error` for an exception,
    and the ids bound by `about`."""

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
        return super().format(_without_text(record))


@contextmanager
def about(**ids: int | str | None) -> Iterator[None]:
    """Adds these ids to the JSON lines of this thread inside the block; never pass text."""
    with structlog.contextvars.bound_contextvars(
        **{name: value for name, value in ids.items() if value is not None}
    ):
        yield


def configure(level: str, form: Literal["console", "json"] = "console") -> None:
    """Sends all loggers and uncaught errors to standard error through a formatter that removes text."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFreeFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.raiseExceptions = False  # it would print the arguments of a malformed record
    # Below INFO these log thousands of values; at INFO Celery repeats what the task logs.
    for noisy in ("celery", "kombu", "alembic", "transformers", "urllib3", "filelock", "httpx2", "httpcore2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    sys.excepthook = _report
    threading.excepthook = lambda failed: _report(failed.exc_type, failed.exc_value, failed.exc_traceback)


def where(error: BaseException) -> str:
    """The three innermost calls as `file.py:LINE function`, outermost first."""
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


def _without_text(record: logging.LogRecord) -> logging.LogRecord:
    return record if record.name.partition(".")[0] in OURS else _without_values(record)


def _without_values(record: logging.LogRecord) -> logging.LogRecord:
    """A copy of the record whose arguments are numbers, type names of exceptions, or dots."""
    copy = logging.makeLogRecord({**record.__dict__, "exc_text": None, "stack_info": None})
    if isinstance(record.args, tuple):
        copy.args = tuple(_masked(value) for value in record.args)
    elif record.args and "%(" in str(record.msg):
        copy.args = {key: _masked(value) for key, value in record.args.items()}
    elif record.args:  # logging unpacks a single dictionary, and would print its keys
        copy.args = ("…",)
    try:
        copy.getMessage()
    except (TypeError, ValueError):  # a placeholder wants a number
        copy.args = None
    return copy


def _masked(value: object) -> object:
    if isinstance(value, int | float | None):
        return value
    return type(value).__name__ if isinstance(value, BaseException) else "…"
