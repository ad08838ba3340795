"""Routes for corrections; each answers with the note as it stands afterwards."""

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
from web.document_page import PageMark
from web.document_routes import note_values, read, stored

_WITHDRAW = "withdraw"
_ACCEPT_REST = "accept_rest"
_NUMBERS = ("found_start", "found_end", "start", "end")


async def correct(request: Request) -> Response:
    """`verdict` is one of Verdict, or `withdraw` (of the mention that is named), or `accept_rest`."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    return await run_in_threadpool(_corrected, request, form)


def _corrected(request: Request, form: dict[str, str]) -> Response:
    shelf = app_state_of(request)
    document = stored(shelf, request)
    sha, verdict = text_sha256(document.text), form.get("verdict", "")
    if verdict == _WITHDRAW:
        shelf.store.withdraw_correction(sha, _found(form))
    elif verdict == _ACCEPT_REST:
        shelf.store.correct(sha, _rest(shelf, document))
    else:
        shelf.store.correct(sha, [_correction(form, shelf.corrected_by)])
    return html("note_part", **note_values(shelf, document))


def _rest(shelf: AppState, document: StoredDocument) -> list[Correction]:
    marks = [mark for mark in read(shelf, document).mentions if not mark.verdict]
    return [_accepted(mark, shelf.corrected_by) for mark in marks]


def _accepted(mark: PageMark, corrected_by: str) -> Correction:
    return Correction(
        verdict=Verdict.ACCEPTED,
        found=mark.found or MentionKey(mark.start, mark.end, mark.label),
        start=mark.start,
        end=mark.end,
        label=mark.label,
        assertion=mark.assertion,
        corrected_by=corrected_by,
    )


def _correction(form: dict[str, str], corrected_by: str) -> Correction:
    numbers = _numbers(form)
    try:
        return Correction(
            verdict=Verdict(form.get("verdict", "")),
            found=_found(form),
            start=numbers["start"],
            end=numbers["end"],
            label=form.get("label", ""),
            assertion=Assertion(form.get("assertion", "")),
            corrected_by=corrected_by,
        )
    except (ValidationError, ValueError):
        raise UsageError("this is no correction: it names no verdict, label, assertion or place.") from None


def _found(form: dict[str, str]) -> MentionKey:
    numbers = _numbers(form)
    return MentionKey(numbers["found_start"], numbers["found_end"], form.get("found_label", ""))


def _numbers(form: dict[str, Any]) -> dict[str, int]:
    given = {name: form.get(name, "") for name in _NUMBERS}
    if not all(value.isascii() and value.isdigit() and len(value) < 10 for value in given.values()):
        raise UsageError("this is no correction: a place is missing.")
    return {name: int(value) for name, value in given.items()}
