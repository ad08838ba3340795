"""HTML rendering: templates, and the format of numbers, times and a note's characters.

Every value put into a template is escaped; a note's own markup shows as text.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from models.control_characters import control_pictures

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"


def render(template: str, **values: Any) -> str:
    """Renders a template of `templates/`, named without its suffix."""
    return _environment().get_template(f"{template}.jinja").render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "note": note_text,
        "duration": duration,
        "number": number,
        "percent": percent,
        "when": when,
        "words": words,
    }
    return environment


def shown(text: str) -> str:
    """A note's characters, one for one, so that positions in the page are positions in the note; line ends as
    line feeds, control and direction characters as their visible pictures."""
    return _LONE_CARRIAGE_RETURN.sub("\n", text).translate(_PICTURES)


def note_text(text: str) -> Markup:
    """Part of a shown note. A parser drops the CR of CR LF; as a character reference it stays, invisible."""
    return Markup(str(escape(text)).replace("\r", "&#13;"))  # noqa: S704  escaped in this very line


def number(value: int) -> str:
    """A number such as '12,400'."""
    return f"{value:,}"


def percent(value: float | None) -> str:
    """A percentage such as '93 %'; '' without one."""
    return "" if value is None else f"{value * 100:.0f} %"


def duration(seconds: float) -> str:
    """A duration such as '42 s', '3 min' or '2 h 10 min'."""
    minutes, hours = round(seconds / 60), round(seconds) // 3600
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{hours} h {minutes - hours * 60} min" if hours else f"{minutes} min"


def when(moment: datetime | None) -> str:
    """A moment in local time to the minute; '–' where there is none."""
    return "–" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M}"


def words(name: str) -> str:
    """A flag in words, such as 'number not in note' for number_not_in_note."""
    return name.replace("_", " ")


_LONE_CARRIAGE_RETURN = re.compile(r"\r(?!\n)")


_PICTURES = control_pictures("\t\n\r")
