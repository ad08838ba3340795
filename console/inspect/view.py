"""`notemill view`: serves the browser application, by default on 127.0.0.1."""

from __future__ import annotations

import getpass
import logging
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from console.terminal.opened_database import database
from console.terminal.terminal import command_to_type, stdout
from models.errors import NotemillError, UsageError
from models.host import is_loopback
from models.queries.browser.browser_queries import BrowserQueries
from models.settings import load_settings

if TYPE_CHECKING:
    from starlette.applications import Starlette

_SECONDS_TO_END = 3


class ViewError(NotemillError):
    """The pages cannot be served."""


def view(
    *, host: str, port: int, certificate: Path | None, key: Path | None, is_plain: bool, name: str | None
) -> int:
    """Serves until Ctrl-C. Raises UsageError where patient text would cross a network unencrypted."""
    _check_transport(host, certificate, key, is_plain=is_plain)
    settings = load_settings()
    token = settings.view_token.get_secret_value() or secrets.token_urlsafe(24)
    with _listening(host, port) as listener, database(settings) as opened:
        application = _application()(
            opened.store,
            opened.queries,
            BrowserQueries(opened.engine),
            token=token,
            cookie=f"notemill_{listener.getsockname()[1]}",
            is_secure=certificate is not None or is_plain,
            corrected_by=name or _own_name(),
        )
        scheme = "http" if certificate is None else "https"
        shown = f"[{host}]" if ":" in host else host
        address = f"{scheme}://{shown}:{listener.getsockname()[1]}/?token={token}"
        stdout().print(f"Open {address}\nCtrl-C ends it.", soft_wrap=True)
        _serve(application, listener, certificate, key)
    return 0


def _serve(
    application: Starlette, listener: socket.socket, certificate: Path | None, key: Path | None
) -> None:
    import uvicorn

    # No access log: addresses hold what was looked for. `lifespan`: there is nothing to begin or to end.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        application,
        access_log=False,
        log_config=None,
        server_header=False,
        lifespan="off",
        ssl_certfile=None if certificate is None else str(certificate),
        ssl_keyfile=None if key is None else str(key),
        timeout_graceful_shutdown=_SECONDS_TO_END,
    )
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except OSError as error:  # of the certificate; the socket is bound already
        raise ViewError(f"cannot use the certificate {certificate}: {error.strerror or error}") from None


def _application() -> Callable[..., Starlette]:
    try:
        import uvicorn  # noqa: F401

        from web.application import application
    except ModuleNotFoundError as error:
        raise ViewError(
            f"{error.name} is not installed: pip install --constraint constraints.txt 'notemill[view]'"
        ) from None
    return application


def _check_transport(host: str, certificate: Path | None, key: Path | None, *, is_plain: bool) -> None:
    if (certificate is None) != (key is None):
        raise UsageError("--certificate and --key go together.")
    if is_plain and certificate is not None:
        raise UsageError("--behind-proxy is for a proxy that has the certificate itself: leave one out.")
    if not (is_loopback(host) or certificate is not None or is_plain):
        raise UsageError(
            f"{host} is open to a network, and notes would cross it unencrypted: add --certificate FILE and"
            " --key FILE, or --behind-proxy where a proxy on this machine speaks TLS."
        )


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
        )
    except OSError as error:
        other = command_to_type("view", "--port", str(port + 1 if port < 65_535 else port - 1))
        raise ViewError(
            f"cannot listen on {host} port {port}: {error.strerror or error}. Type: {other}"
        ) from None


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's number without a name
        return ""
