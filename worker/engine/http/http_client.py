"""HTTP client for one OpenAI-compatible server: its models, and completions with retries.

Requests to a server that is unreachable, loading or overloaded are repeated until it answers. Logs hold
statuses and types of errors, never a body.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2

from models.errors import NotemillError, UsageError
from models.host import is_loopback
from models.settings import Settings
from worker.engine.api import RequestError

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 600.0
"""Timeout of one completion, including its wait in the server's queue."""
_FIRST_WAIT_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 10.0
_LOADING_SECONDS = 900.0
"""Maximum wait at the start for a server that is loading its weights."""
_MAX_SERVER_ERRORS = 3
"""Number of 500 responses after which the request itself is considered the cause."""
_REQUEST_ERRORS = frozenset({400, 413, 422})
"""Statuses for an invalid request. Other 4xx statuses concern the key, the URL or the load: an operator
corrects them or they pass, and until then no request may be lost."""


class ServerError(NotemillError):
    """The server of the HTTP engine cannot be used as the settings say."""


class NotesWouldLeaveError(UsageError):
    """The server is on another machine, and no setting allows notes to go there."""


class _UnavailableError(Exception):
    """The server cannot answer now."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """A status, or the name of an error."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as listed by `/v1/models`."""

    name: str
    context_tokens: int | None
    """Longest sequence; None if the server does not report it."""


class ServerClient:
    """Client of one server; safe to use from many threads."""

    def __init__(self, settings: Settings) -> None:
        """Raises NotesWouldLeaveError if the server is on another machine and no setting allows that."""
        check_server_location(settings)
        key = settings.http_key.get_secret_value()
        self._settings = settings
        self._client = httpx2.Client(
            base_url=settings.http_url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=settings.http_concurrency),
            trust_env=False,  # ignores proxies of the environment: notes go to the configured URL only
        )
        self._is_closing = threading.Event()
        self._is_unavailable = False

    def served(self, *, patience_seconds: float = _LOADING_SECONDS) -> ServedModel:
        """The configured model; waits while the server loads. Raises ServerError, saying what to type."""
        deadline = time.monotonic() + patience_seconds
        while (response := self._models()).status_code == 503 and time.monotonic() < deadline:
            log.info("the server is loading its weights")
            self._is_closing.wait(_LONGEST_WAIT_SECONDS / 5)
        url, name = self._settings.http_url, self._settings.http_model
        if response.status_code in (401, 403):
            raise ServerError(f"{url} refuses the key: set NOTEMILL_HTTP_KEY to the server's own")
        if response.status_code != 200:
            raise ServerError(
                f"{url}/models answers {response.status_code}: set NOTEMILL_HTTP_URL to the part before"
                " /models, which usually ends with /v1"
            )
        models = _models_of(response)
        if name not in models:
            names = ", ".join(sorted(models)) or "nothing"
            raise ServerError(f"{url} does not serve {name!r}: set NOTEMILL_HTTP_MODEL to one of: {names}")
        return ServedModel(name, models[name])

    def complete(self, body: dict[str, Any], *, deadline: float) -> Any:
        """The JSON of the response, or a RequestError. `deadline`: by time.monotonic()."""
        errors, wait_seconds = 0, _FIRST_WAIT_SECONDS
        while True:
            try:
                return self._post(body)
            except _UnavailableError as error:
                reason = error.reason
            errors += reason == "500"
            if errors == _MAX_SERVER_ERRORS:
                return RequestError("crashed", f"the server answers {reason}")
            wait = wait_seconds * random.uniform(0.5, 1)
            if time.monotonic() + wait > deadline:
                return RequestError("timed_out", f"the server did not answer in time: {reason}")
            if self._is_closing.wait(wait):
                return RequestError("crashed", "the engine was closed")
            wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)

    def close(self) -> None:
        """Ends all waits for the server."""
        self._is_closing.set()
        self._client.close()

    def _models(self) -> httpx2.Response:
        url = self._settings.http_url
        try:
            return self._client.get("models", timeout=_CONNECT_SECONDS)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ServerError(
                f"no server answers at {url} ({type(error).__name__}): start it, or set NOTEMILL_HTTP_URL"
            ) from None

    def _post(self, body: dict[str, Any]) -> Any:
        """The JSON of the response, or a RequestError. Raises _UnavailableError if a retry may succeed."""
        try:
            response = self._client.post("completions", json={"model": self._settings.http_model} | body)
        except httpx2.TransportError as error:
            raise self._unavailable(type(error).__name__) from None
        except httpx2.HTTPError as error:
            return RequestError("unparsable", type(error).__name__)
        if response.status_code in _REQUEST_ERRORS:
            return _request_error(response)
        if response.status_code != 200:
            raise self._unavailable(str(response.status_code))
        if self._is_unavailable:
            self._is_unavailable = False
            log.info("the server answers again")
        return _json(response) or RequestError("unparsable", "the server's answer is not JSON")

    def _unavailable(self, reason: str) -> _UnavailableError:
        if not self._is_unavailable and not self._is_closing.is_set():
            self._is_unavailable = True
            log.warning("the server answers nothing but %s; retrying until it works", reason)
        return _UnavailableError(reason)


def check_server_location(settings: Settings) -> None:
    """Raises NotesWouldLeaveError unless the URL's host is this machine or a setting allows another.

    Host names are not resolved, since the answer of a name server may change between check and request.
    """
    host = urlsplit(settings.http_url).hostname or ""
    if settings.http_may_leave_machine or is_loopback(host):
        return
    raise NotesWouldLeaveError(
        f"NOTEMILL_HTTP_URL names another machine ({host}), and the text of every note would go there: set"
        " NOTEMILL_HTTP_MAY_LEAVE_MACHINE=true if it may"
    )


def _models_of(response: httpx2.Response) -> dict[str, int | None]:
    """Context lengths by model name: vLLM's `max_model_len`, llama.cpp's `meta.n_ctx`."""
    body = _json(response)
    data = body.get("data") if isinstance(body, dict) else None
    models = {}
    for model in data if isinstance(data, list) else ():
        if isinstance(model, dict) and "id" in model:
            meta = model.get("meta")
            length = model.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else None)
            models[str(model["id"])] = length if isinstance(length, int) and length > 0 else None
    return models


def _request_error(response: httpx2.Response) -> RequestError:
    """The kind of error without the server's message, which may quote the request."""
    text = response.text.lower()
    if response.status_code == 413 or "exceed_context_size" in text or "context length" in text:
        return RequestError("too_long", "the server's context is shorter")
    if "grammar" in text or "schema" in text or "structured" in text:
        return RequestError("unparsable", f"the server refuses the grammar ({response.status_code})")
    return RequestError("unparsable", f"the server refuses the request ({response.status_code})")


def _json(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None
