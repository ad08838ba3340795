"""The web application: its routes. Read-only except for corrections."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from models.queries.browser.browser_queries import BrowserQueries
from models.queries.queries import Queries
from models.store.store import Store
from web.access_control import AccessControl
from web.app_state import AppState, html
from web.correction_routes import correct
from web.document_routes import document, documents
from web.html_rendering import STATIC
from web.progress_cache import ProgressCache
from web.run_routes import failures, run, runs
from web.search_routes import searches


def application(
    store: Store,
    queries: Queries,
    browser_queries: BrowserQueries,
    *,
    token: str,
    cookie: str,
    is_secure: bool,
    corrected_by: str,
) -> Starlette:
    """An ASGI application over one database. `token`: admits a browser; see web.access_control."""
    guard = Middleware(AccessControl, token=token, cookie=cookie, is_secure=is_secure)
    starlette = Starlette(
        routes=[
            Route("/", lambda _: RedirectResponse("/documents")),
            Route("/documents", documents),
            Route("/documents/{document_id:int}", document),
            Route("/documents/{document_id:int}/corrections", correct, methods=["POST"]),
            Route("/runs", runs),
            Route("/runs/{run_id:int}", run),
            Route("/searches", searches),
            Route("/failures", failures),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[guard],
        exception_handlers={HTTPException: _http_problem},
    )
    starlette.state.app_state = AppState(store, queries, browser_queries, ProgressCache(), corrected_by)
    return starlette


def _http_problem(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    titles = {404: "Not found", 405: "Method not allowed"}
    detail = (
        "There is no such page or document." if status == 404 else "This page does not support that request."
    )
    return html(
        "problem", status=status, title=titles.get(status, "This page cannot be shown"), detail=detail
    )
