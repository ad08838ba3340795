"""One server of the OpenAI-compatible API: what it serves, and completions, asked for with patience.

A server that is away, loads, or has too much to do is asked again until it answers. Logs hold statuses
and types of errors, never a body.
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
"""For one completion, its wait in the server's own queue included."""
_FIRST_WAIT_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 10.0
_LOADING_SECONDS = 900.0
"""How long a server may say, at the start, that it is still loading its weights."""
_ERRORS_OF_ONES_OWN = 3
"""500 so often: it is this request that the server cannot do."""
_REFUSALS = frozenset({400, 413, 422})
"""The request is at fault. Other statuses of 4xx are of the key, the URL or the server's load: put right, or
over with time, and until then nothing may be lost."""


class ServerError(NotemillError):
    """The server of the HTTP engine cannot be used as the settings say."""


class NotesWouldLeaveError(UsageError):
    """The server is on another machine, and nobody has said that notes may go there."""


class _UnavailableError(Exception):
    """The server cannot answer now."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        """A status, or the name of an error."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What `/v1/models` says of the weights."""

    name: str
    context_tokens: int | None
    """The longest sequence, where the server says it."""


class ServerClient:
    """Safe to use from many threads."""

    def __init__(self, settings: Settings) -> None:
        """Raises NotesWouldLeaveError where the server is elsewhere and nobody allowed that."""
        check_server_location(settings)
        key = settings.http_key.get_secret_value()
        self._settings = settings
        self._client = httpx2.Client(
            base_url=settings.http_url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=settings.http_concurrency),
            trust_env=False,  # notes go to the URL that is set, through no proxy that somebody exported
        )
        self._is_closing = threading.Event()
        self._is_away = False

    def served(self, *, patience_seconds: float = _LOADING_SECONDS) -> ServedModel:
        """Raises ServerError, saying what to type; waits while the server loads."""
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
                " /models, as a rule it ends with /v1"
            )
        models = _models_of(response)
        if name not in models:
            known = ", ".join(sorted(models)) or "nothing"
            raise ServerError(f"{url} does not serve {name!r}: set NOTEMILL_HTTP_MODEL to one of: {known}")
        return ServedModel(name, models[name])

    def complete(self, body: dict[str, Any], *, deadline: float) -> Any:
        """The answer's JSON, or a Refusal. `deadline`: of time.monotonic()."""
        errors, wait_seconds = 0, _FIRST_WAIT_SECONDS
        while True:
            try:
                return self._ask(body)
            except _UnavailableError as error:
                why = error.why
            errors += why == "500"
            if errors == _ERRORS_OF_ONES_OWN:
                return RequestError("crashed", f"the server answers {why}")
            wait = wait_seconds * random.uniform(0.5, 1)
            if time.monotonic() + wait > deadline:
                return RequestError("timed_out", f"the server did not answer in time: {why}")
            if self._is_closing.wait(wait):
                return RequestError("crashed", "the engine was closed")
            wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)

    def close(self) -> None:
        """What waits for the server waits no longer."""
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

    def _ask(self, body: dict[str, Any]) -> Any:
        """The answer's JSON, or a Refusal. Raises _AwayError where the server shall be asked again."""
        try:
            response = self._client.post("completions", json={"model": self._settings.http_model} | body)
        except httpx2.TransportError as error:
            raise self._away(type(error).__name__) from None
        except httpx2.HTTPError as error:
            return RequestError("unparsable", type(error).__name__)
        if response.status_code in _REFUSALS:
            return _refusal(response)
        if response.status_code != 200:
            raise self._away(str(response.status_code))
        if self._is_away:
            self._is_away = False
            log.info("the server answers again")
        return _json(response) or RequestError("unparsable", "the server's answer is not JSON")

    def _away(self, why: str) -> _UnavailableError:
        if not self._is_away and not self._is_closing.is_set():
            self._is_away = True
            log.warning("the server answers nothing but %s; asking again until it does", why)
        return _UnavailableError(why)


def check_server_location(settings: Settings) -> None:
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


def _models_of(response: httpx2.Response) -> dict[str, int | None]:
    """Names and context lengths: vLLM's `max_model_len`, llama.cpp's `meta.n_ctx`."""
    listed = _json(response)
    data = listed.get("data") if isinstance(listed, dict) else None
    models = {}
    for one in data if isinstance(data, list) else ():
        if isinstance(one, dict) and "id" in one:
            meta = one.get("meta")
            length = one.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else None)
            models[str(one["id"])] = length if isinstance(length, int) and length > 0 else None
    return models


def _refusal(response: httpx2.Response) -> RequestError:
    """Of the server's words nothing but what kind they are: they may quote the request."""
    words = response.text.lower()
    if response.status_code == 413 or "exceed_context_size" in words or "context length" in words:
        return RequestError("too_long", "the server's context is shorter")
    if "grammar" in words or "schema" in words or "structured" in words:
        return RequestError("unparsable", f"the server refuses the grammar ({response.status_code})")
    return RequestError("unparsable", f"the server refuses the request ({response.status_code})")


def _json(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None
