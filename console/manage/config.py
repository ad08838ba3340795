"""`notemill config`: every setting, its value, and its source."""

from __future__ import annotations

import json
import re

from pydantic import SecretStr
from rich.table import Table
from rich.text import Text

from console.terminal.terminal import stdout
from models.settings import PREFIX, Settings, load_settings, where_from

_SECRETS = ("http_key", "message_key", "encryption_key")
"""Settings that are never shown; other secrets are URLs, shown without their password."""


def show_config(*, as_json: bool) -> int:
    """Prints a table, or with `as_json` one object. Passwords are in neither."""
    settings = load_settings()
    origins = where_from(settings)
    values = {name: displayed_value(settings, name) for name in type(settings).model_fields}
    if as_json:
        print(json.dumps({name: {"value": value, "from": origins[name]} for name, value in values.items()}))
        return 0
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("setting", "value", "from"):
        table.add_column(title, overflow="fold")
    for name, value in values.items():
        style = "dim" if origins[name] == "default" else "bold"
        table.add_row(PREFIX + name.upper(), Text(value or "–", style), Text(origins[name], style))
    stdout().print(table)
    return 0


def displayed_value(settings: Settings, name: str) -> str:
    """A setting's value for people: '' where it is not set."""
    value = getattr(settings, name)
    if name in _SECRETS and value.get_secret_value():
        return "***"
    if isinstance(value, SecretStr):
        return without_password(value.get_secret_value())
    return "" if value is None else str(value)


def without_password(url: str) -> str:
    """A URL with *** for the password in the authority and in the query."""
    masked = re.sub(r"(?<=://)([^:/?#@]*):.*@", r"\1:***@", url)
    return re.sub(r"((?:password|passwd|sslpassword)=)[^&]*", r"\1***", masked, flags=re.IGNORECASE)
