"""What every page is made from, and the HTML that answers a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from models.queries.browser.browser_queries import BrowserQueries
from models.queries.queries import Queries
from models.store.store import Store
from web.html_rendering import render
from web.progress_cache import Following


@dataclass(frozen=True, slots=True)
class Shelf:
    """The store, opened; `store` is for corrections and for the audit trail."""

    store: Store
    queries: Queries
    browsing: BrowserQueries
    following: Following
    corrected_by: str
    """Who sits here, for the record of corrections."""


def shelf_of(request: Request) -> Shelf:
    """Of the application that the request came to."""
    shelf: Shelf = request.app.state.shelf
    return shelf


def html(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page from a template."""
    return HTMLResponse(render(template, **values), status_code=status)
