"""Where the server for the network is: on this machine, or where notes may go only if a setting says so."""

from __future__ import annotations

from urllib.parse import urlsplit

from models.errors import UsageError
from models.host import is_loopback
from models.settings import Settings


class NotesWouldLeaveError(UsageError):
    """The server is on another machine, and nobody has said that notes may go there."""


def check_place(settings: Settings) -> None:
    """Raises NotesWouldLeaveError unless the URL's host is this machine or the setting allows another.

    Names are not looked up: what a name server says may change between the check and the request.
    """
    host = urlsplit(settings.http_url).hostname or ""
    if settings.http_may_leave_machine or is_loopback(host):
        return
    raise NotesWouldLeaveError(
        f"NOTEMILL_HTTP_URL names another machine ({host}), and the text of every note would go there: set"
        " NOTEMILL_HTTP_MAY_LEAVE_MACHINE=true if it may"
    )
