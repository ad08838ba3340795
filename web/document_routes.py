"""Routes for the list of documents with its filters, and for one document."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from models.answers import Assertion
from models.documents import StoredDocument, text_sha256
from models.errors import UsageError
from models.jobs import JobStatus
from models.outcomes import Reason
from models.queries.browser.document_list import DocumentFilter
from models.queries.results import newest_answers
from models.security.audit_trail import Action
from web.app_state import AppState, app_state_of, html
from web.document_page import DocumentView, document_view

_LINES = 50
_RUNS = 20


def documents(request: Request) -> Response:
    """A page of the list, newest first; `before` and `after` are document numbers."""
    app_state = app_state_of(request)
    given = {name: value for name, value in request.query_params.items() if value}
    before, after = _number(given.pop("before", None)), _number(given.pop("after", None))
    document_filter = _filter(given)
    page = app_state.browser_queries.documents(document_filter, limit=_LINES, before=before, after=after)
    query = urlencode(given)
    return html(
        "documents",
        page=page,
        chosen=document_filter,
        asked=f"&{query}" if query else "",
        is_filtered=bool(given),
        labels=app_state.browser_queries.labels(),
        assertions=list(Assertion),
        statuses=list(JobStatus),
        reasons=list(Reason),
        runs=app_state.browser_queries.run_numbers(_RUNS),
    )


def document(request: Request) -> Response:
    """One note with its answers."""
    app_state = app_state_of(request)
    document = requested_document(app_state, request)
    app_state.store.note(Action.SHOW, document=document.id)
    return html(
        "document",
        newer=app_state.browser_queries.newer_version(document.id),
        **note_values(app_state, document),
    )


def requested_document(app_state: AppState, request: Request) -> StoredDocument:
    """The document in the address. Raises HTTPException where there is none."""
    document = app_state.browser_queries.document(request.path_params["document_id"])
    if document is None:
        raise HTTPException(404)
    return document


def note_values(app_state: AppState, document: StoredDocument) -> dict[str, Any]:
    """Template values of a note that can be corrected."""
    view = load_view(app_state, document)
    labels = list(dict.fromkeys([*app_state.browser_queries.labels(), *view.labels]))
    return {"view": view, "labels": labels, "assertions": list(Assertion), "can_correct": True}


def load_view(app_state: AppState, document: StoredDocument) -> DocumentView:
    """The document with its newest answers and corrections."""
    answers = newest_answers(app_state.queries.answers_of(document.id))
    return document_view(document, answers, app_state.queries.corrections_of(text_sha256(document.text)))


def _filter(given: dict[str, Any]) -> DocumentFilter:
    try:
        return DocumentFilter(**given)
    except ValidationError as error:
        names = ", ".join(sorted({str(problem["loc"][0]) for problem in error.errors(include_input=False)}))
        raise UsageError(f"the address has filters that are not known: {names}.") from None


def _number(given: str | None) -> int | None:
    if given is None or (given.isascii() and given.isdigit() and len(given) < 18):
        return None if given is None else int(given)
    raise UsageError("`before` and `after` take the number of a document.")
