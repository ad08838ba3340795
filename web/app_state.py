"""Application state that every page uses, and the HTML response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from models.queries.browser.browser_queries import BrowserQueries
from models.queries.queries import Queries
from models.store.store import Store
from web.html_rendering import render
from web.progress_cache import ProgressCache


@dataclass(frozen=True, slots=True)
class AppState:
    """The store, opened; `store` is for corrections and for the audit trail."""

    store: Store
    queries: Queries
    browser_queries: BrowserQueries
    progress_cache: ProgressCache
    corrected_by: str
    """The name recorded with corrections."""


def app_state_of(request: Request) -> AppState:
    """The application state of a request."""
    app_state: AppState = request.app.state.app_state
    return app_state


def html(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """An HTML response from a template."""
    return HTMLResponse(render(template, **values), status_code=status)
