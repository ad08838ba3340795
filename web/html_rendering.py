"""Values into HTML: the templates, and how numbers, times and a note's characters are written.

Everything that is put into a template is escaped; a note's own markup shows as text.
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
    """One template of `templates/`, without its suffix, with these values."""
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
    """A note's characters, one for one, so that places in the page are places in the note: line ends as
    line feeds, and what is no character of HTML or would turn the page's direction as a picture."""
    return _LONE_CARRIAGE_RETURN.sub("\n", text).translate(_PICTURES)


def note_text(text: str) -> Markup:
    """Part of a shown note. A parser drops the CR of CR LF; as a reference it stays, unseen."""
    return Markup(str(escape(text)).replace("\r", "&#13;"))  # noqa: S704  escaped in this very line


def number(value: int) -> str:
    """e.g. '12,400'."""
    return f"{value:,}"


def percent(value: float | None) -> str:
    """e.g. '93 %'; '' where there is none."""
    return "" if value is None else f"{value * 100:.0f} %"


def duration(seconds: float) -> str:
    """e.g. '42 s', '3 min', '2 h 10 min'."""
    minutes, hours = round(seconds / 60), round(seconds) // 3600
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{hours} h {minutes - hours * 60} min" if hours else f"{minutes} min"


def when(moment: datetime | None) -> str:
    """A moment in local time to the minute; '–' where there is none."""
    return "–" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M}"


def words(name: str) -> str:
    """e.g. 'number not in note' for number_not_in_note."""
    return name.replace("_", " ")


_LONE_CARRIAGE_RETURN = re.compile(r"\r(?!\n)")


_PICTURES = control_pictures("\t\n\r")
