"""Access control of the browser application: a token, one origin, nothing loaded from outside, no caching.

An ASGI middleware around the whole application. It also handles unexpected errors: an exception's text could
quote a note, so only its type and its source lines are logged.
"""

from __future__ import annotations

import hmac
import logging
import traceback
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.errors import NotemillError
from models.schema.database import DatabaseUnavailableError
from web.app_state import html

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # Patient text stays out of the browser's cache on disk.
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_URL_PARAMETER = "token"
_COOKIE_SECONDS = 12 * 3600
_log = logging.getLogger("notemill.pages")


class AccessControl:
    """Admits browsers that once sent the token; a cookie holds it afterwards."""

    def __init__(self, app: ASGIApp, *, token: str, cookie: str, is_secure: bool) -> None:
        """`cookie`: its name, one for each port, since all ports of a host share cookies. `is_secure`: the
        browser speaks TLS, and sends the cookie over nothing else."""
        self._app = app
        self._token = token
        self._cookie = cookie
        self._is_secure = is_secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        try:
            answer = self._refusal(Request(scope)) or self._app
            await answer(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001  its text could quote a note
            if has_started:
                raise ConnectionError("the response was cut off") from None
            await _error_page(error)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        """The refusal; None where the request may pass."""
        if request.url.path.startswith("/static/"):
            return None  # the style sheet of the page that asks for the token
        given = request.query_params.get(_URL_PARAMETER)
        if given is not None and request.method == "GET" and self._is_token(given):
            return self._admit(request)
        if not self._is_token(request.cookies.get(self._cookie, "")):
            return html("refused", status=401)
        if request.method not in ("GET", "HEAD") and not _is_same_origin(request):
            return html("problem", status=403, title="Request refused", detail="Another site sent this form.")
        return None

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _admit(self, request: Request) -> Response:
        """Redirects to the same address without the token, which keeps it out of the history."""
        others = [(name, value) for name, value in parse_qsl(request.url.query) if name != _URL_PARAMETER]
        target = request.url.path + (f"?{urlencode(others)}" if others else "")
        # Not `//elsewhere`: a browser would take that for another host.
        response = RedirectResponse("/" + target.lstrip("/"), status_code=303)
        response.set_cookie(
            self._cookie,
            self._token,
            max_age=_COOKIE_SECONDS,
            httponly=True,
            samesite="strict",
            secure=self._is_secure,
        )
        return response


def _is_same_origin(request: Request) -> bool:
    """True where the form came from this origin; current browsers always send one of these headers."""
    origin = request.headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == request.headers.get("host")
    return request.headers.get("sec-fetch-site") == "same-origin"


def _error_page(error: Exception) -> Response:
    if isinstance(error, NotemillError):
        status = 503 if isinstance(error, DatabaseUnavailableError) else 400
        return html("problem", status=status, title="This page cannot be shown", detail=str(error))
    frames = traceback.extract_tb(error.__traceback__)
    location = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[:-4:-1])
    _log.error("unexpected error, %s at %s", type(error).__name__, location)
    detail = (
        f"{type(error).__name__}; the terminal of notemill view shows where it occurred. Please report it."
    )
    return html("problem", status=500, title="Unexpected error", detail=detail)
