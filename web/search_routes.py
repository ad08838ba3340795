"""Routes for searches: queries, and the best sentence of each note for a query."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from models.answers import Task
from models.jobs import Question
from web.app_state import app_state_of, html

_LINES = 50


def searches(request: Request) -> Response:
    """Every query; with `query` the sentences that answer it, newest note first."""
    app_state = app_state_of(request)
    query = request.query_params.get("query")
    if query is None:
        return html("searches", queries=app_state.browser_queries.searches())
    before = request.query_params.get("before", "")
    if not query.strip() or (before and not (before.isascii() and before.isdigit() and len(before) < 18)):
        raise HTTPException(404)
    question = Question(task=Task.SEARCH, parameters={"query": query})
    lines, has_more = app_state.browser_queries.passages(
        question.parameters_sha256, limit=_LINES, before=int(before) if before else None
    )
    return html("passages", query=query, lines=lines, has_more=has_more, is_first=not before)
