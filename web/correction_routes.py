"""Routes for corrections; each returns the corrected note."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from models.answers import Assertion
from models.corrections import Correction, MentionKey, Verdict
from models.documents import StoredDocument, text_sha256
from models.errors import UsageError
from web.app_state import AppState, app_state_of, html
from web.document_page import AnnotatedSpan
from web.document_routes import load_view, note_values, requested_document

_WITHDRAW = "withdraw"
_ACCEPT_REST = "accept_rest"
_NUMBERS = ("found_start", "found_end", "start", "end")


async def correct(request: Request) -> Response:
    """Stores a correction. `verdict`: one of Verdict, `withdraw` for the given mention, or `accept_rest`."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    return await run_in_threadpool(_corrected, request, form)


def _corrected(request: Request, form: dict[str, str]) -> Response:
    app_state = app_state_of(request)
    document = requested_document(app_state, request)
    sha, verdict = text_sha256(document.text), form.get("verdict", "")
    if verdict == _WITHDRAW:
        app_state.store.withdraw_correction(sha, _mention_key(form))
    elif verdict == _ACCEPT_REST:
        app_state.store.correct(sha, _unreviewed(app_state, document))
    else:
        app_state.store.correct(sha, [_correction(form, app_state.corrected_by)])
    return html("note_part", **note_values(app_state, document))


def _unreviewed(app_state: AppState, document: StoredDocument) -> list[Correction]:
    spans = [span for span in load_view(app_state, document).mentions if not span.verdict]
    return [_accepted(span, app_state.corrected_by) for span in spans]


def _accepted(span: AnnotatedSpan, corrected_by: str) -> Correction:
    return Correction(
        verdict=Verdict.ACCEPTED,
        found=span.found or MentionKey(span.start, span.end, span.label),
        start=span.start,
        end=span.end,
        label=span.label,
        assertion=span.assertion,
        corrected_by=corrected_by,
    )


def _correction(form: dict[str, str], corrected_by: str) -> Correction:
    numbers = _numbers(form)
    try:
        return Correction(
            verdict=Verdict(form.get("verdict", "")),
            found=_mention_key(form),
            start=numbers["start"],
            end=numbers["end"],
            label=form.get("label", ""),
            assertion=Assertion(form.get("assertion", "")),
            corrected_by=corrected_by,
        )
    except (ValidationError, ValueError):
        raise UsageError(
            "this is not a correction: it needs a verdict, a label, an assertion and a span."
        ) from None


def _mention_key(form: dict[str, str]) -> MentionKey:
    numbers = _numbers(form)
    return MentionKey(numbers["found_start"], numbers["found_end"], form.get("found_label", ""))


def _numbers(form: dict[str, Any]) -> dict[str, int]:
    given = {name: form.get(name, "") for name in _NUMBERS}
    if not all(value.isascii() and value.isdigit() and len(value) < 10 for value in given.values()):
        raise UsageError("this is not a correction: the span is missing.")
    return {name: int(value) for name, value in given.items()}
