"""`notemill doctor`: a line a thing, in order or not, and what to type."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.text import Text

from console.checks import CHECKS, Check, checked
from console.errors import PROBLEM
from console.terminal import harmless, stdout
from models.settings import load_settings


def examine(*, as_json: bool) -> int:
    """The exit status is 1 where something would stop `run`."""
    settings = load_settings()
    results = [checked(check, settings) for check in CHECKS]
    status = PROBLEM if any(not one.is_ok and one.is_blocking for one in results) else 0
    if as_json:
        print(json.dumps([asdict(one) for one in results]))
        return status
    console = stdout()
    for one in results:
        console.print(_line(one), soft_wrap=True)
    words = {0: "All is well." if all(one.is_ok for one in results) else "`notemill run` will work."}
    console.print(words.get(status, "`notemill run` will not work before that is put right."), style="bold")
    return status


def _line(check: Check) -> Text:
    mark, style = (
        ("ok     ", "green") if check.is_ok else ("problem", "red" if check.is_blocking else "yellow")
    )
    line = Text(mark, style=style)
    line.append(f"  {check.name:<12} {harmless(check.found)}", style="default")
    if check.todo:
        line.append(f" → {check.todo}", style="cyan")
    return line
