"""`notemill doctor`: a line for each check, in order or not, and what to type."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

from rich.text import Text

from console.manage import machine_checks, memory_check, service_checks
from console.manage.doctor_check import Check
from console.terminal.exit_status import PROBLEM
from console.terminal.terminal import printable, stdout
from models.errors import NotemillError
from models.settings import Settings, load_settings

CHECKS: tuple[Callable[[Settings], Check], ...] = (
    machine_checks.check_python,
    machine_checks.check_home,
    machine_checks.check_disk,
    service_checks.check_database,
    service_checks.check_redis,
    service_checks.check_weights,
    service_checks.check_engine,
    memory_check.check_memory,
    machine_checks.check_gpu,
    service_checks.check_worker,
)


def examine(*, as_json: bool) -> int:
    """The exit status is 1 where something would stop `run`."""
    settings = load_settings()
    results = [checked(check, settings) for check in CHECKS]
    status = PROBLEM if any(not check.is_ok and check.is_blocking for check in results) else 0
    if as_json:
        print(json.dumps([asdict(check) for check in results]))
        return status
    console = stdout()
    for check in results:
        console.print(_line(check), soft_wrap=True)
    will_run = (
        "`notemill run` will not work before that is put right." if status else "`notemill run` will work."
    )
    console.print("All is well." if all(check.is_ok for check in results) else will_run, style="bold")
    return status


def _line(check: Check) -> Text:
    mark, style = (
        ("ok     ", "green") if check.is_ok else ("problem", "red" if check.is_blocking else "yellow")
    )
    line = Text(mark, style=style)
    line.append(f"  {check.name:<12} {printable(check.found)}", style="default")
    if check.todo:
        line.append(f" → {check.todo}", style="cyan")
    return line


def checked(check: Callable[[Settings], Check], settings: Settings) -> Check:
    """The result of a check; where the check raises a NotemillError, that error."""
    try:
        return check(settings)
    except NotemillError as error:
        return Check(check.__name__.removeprefix("check_"), False, str(error))
    except OSError as error:
        return Check(check.__name__.removeprefix("check_"), False, f"{error.filename}: {error.strerror}")
