"""Safe logging: records of libraries are reduced to their fixed words; our own are printed unchanged."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from decimal import Decimal

import pytest

from worker.telemetry.safe_logging import JsonFormatter, TextFreeFormatter, about


def line(
    logger: str,
    message: str,
    *args: object,
    error: BaseException | None = None,
    formatter: type[logging.Formatter] = TextFreeFormatter,
) -> str:
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord(logger, logging.ERROR, __file__, 1, message, args, exc_info)
    return formatter().format(record)


def a_crash() -> ValueError:
    try:
        raise ValueError("SECRET")
    except ValueError as error:
        return error


def test_our_own_records_are_printed_with_their_values() -> None:
    assert line("worker.queue.document_task", "document %d: %s", 7, "timed_out").endswith(
        "worker.queue.document_task: document 7: timed_out"
    )


@pytest.mark.parametrize("args", [("SECRET",), ({"body": "SECRET"},), (b"SECRET",), (["SECRET"],)])
def test_records_of_libraries_are_printed_without_their_arguments(args: tuple[object, ...]) -> None:
    printed = line("celery.worker", "a body: %s", *args)
    assert printed.endswith("a body: …")


def test_numbers_and_exception_types_of_library_records_are_printed() -> None:
    assert line("kombu", "again in %d s: %r", 4, a_crash()).endswith("again in 4 s: 'ValueError'")


def test_named_arguments_of_library_records_are_masked() -> None:
    printed = line("celery.app.trace", "task %(name)s: %(n)d", {"name": "SECRET", "n": 2})
    assert printed.endswith("task …: 2")


def test_a_record_that_cannot_be_masked_is_printed_without_its_values() -> None:
    assert line("kombu", "%d bodies", Decimal(3)).endswith("%d bodies")


@pytest.mark.parametrize("logger", ["worker.queue.document_task", "celery.app.trace"])
def test_an_exception_is_printed_as_its_type_and_location(logger: str) -> None:
    printed = line(logger, "it failed", error=a_crash())
    assert f"ValueError at {__file__.rpartition('/')[2]}:" in printed
    assert "SECRET" not in printed


@pytest.mark.parametrize(
    "crash",
    ["raise ValueError(secret)", "import threading; threading.Thread(target=int, args=(secret,)).start()"],
)
def test_an_uncaught_exception_is_not_printed_with_its_text(crash: str) -> None:
    setup = "from worker.telemetry import safe_logging; safe_logging.configure('INFO')"
    program = f"{setup}; secret = 'SEC' + 'RET'\n{crash}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "uncaught ValueError" in ended.stderr
    assert "SECRET" not in ended.stderr


def test_a_json_line_has_the_same_message_and_the_id_of_the_document() -> None:
    with about(document=7, trace=None):
        printed = json.loads(
            line("worker.queue.document_task", "document %d: let go", 7, formatter=JsonFormatter)
        )
    assert printed.pop("time").endswith("Z")
    assert printed == {
        "message": "document 7: let go",
        "document": 7,
        "level": "error",
        "logger": "worker.queue.document_task",
    }
    assert "document" not in json.loads(line("worker.queue.document_task", "next", formatter=JsonFormatter))


def test_a_json_line_of_a_library_holds_no_value_and_no_exception_text() -> None:
    printed = line("celery", "a body: %s", "SECRET", error=a_crash(), formatter=JsonFormatter)
    assert json.loads(printed)["message"] == "a body: …"
    assert json.loads(printed)["error"].startswith("ValueError at test_safe_logging.py:")
    assert "SECRET" not in printed
