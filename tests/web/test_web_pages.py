"""The pages of `notemill view` over HTTP: access, content security policy, content and corrections."""

from __future__ import annotations

import asyncio
import json
import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from view_notes import ATTACK, QUERY, TOKEN, WARD

from models.documents import text_sha256
from models.schema.database import connect
from models.security import audit_trail
from models.security.audit_trail import Action
from web.access_control import AccessControl
from web.progress_cache import ProgressCache

if TYPE_CHECKING:
    from view_server import View

pytest_plugins = ("view_server",)

PAGES = (
    *("/documents", "/documents/1", "/documents/2", "/documents/3", "/documents/4", "/runs", "/runs/1"),
    *("/runs/1?part=1", "/searches", "/failures", "/documents?status=failed", "/documents?label=problem"),
    "/searches?query=Is+there+%3Cb%3Epain%3C%2Fb%3E%3F",
)
PAIN = WARD.index("Pain")
FOUND = {"found_start": PAIN, "found_end": PAIN + 4, "found_label": "problem"}
CORRECTED = {"start": PAIN, "end": PAIN + 4, "label": "problem", "assertion": "present"}
CORRECTION = {"verdict": "accepted", **FOUND, **CORRECTED}
INLINE = re.compile(r"<script(?![^>]* src=)|<style|\sstyle=|<[^>]*\son[a-z]+=", re.IGNORECASE)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_requires_the_token(view: View, path: str) -> None:
    for cookie in ("", f"other={TOKEN}", f"notemill_{view.address.rpartition(':')[2]}=guess"):
        status, headers, body = view.get(path, Cookie=cookie)
        assert (status, "Token required" in body, "Pain" in body) == (401, True, False)
        assert "Set-Cookie" not in headers


def test_the_token_moves_from_the_address_to_a_cookie(view: View) -> None:
    status, headers, _ = view.get(f"/documents/1?token={TOKEN}&x=1", Cookie="")
    assert (status, headers["Location"]) == (303, "/documents/1?x=1")
    assert "HttpOnly" in headers["Set-Cookie"]
    assert "SameSite=strict" in headers["Set-Cookie"]
    assert view.get(f"//elsewhere.example/?token={TOKEN}", Cookie="")[1]["Location"].startswith("/elsewhere")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_inline_code_and_its_policy_forbids_it(view: View, path: str) -> None:
    status, headers, body = view.get(path)
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert INLINE.search(body) is None
    assert not re.findall(r"(?:src|href|action)=\"(?!/|#)", body)
    assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")


def test_the_page_shows_every_character_of_the_note(view: View) -> None:
    body = view.get("/documents/1")[2]
    note = re.search(r'<div class="note"[^>]*>(.*?)</div>', body, re.DOTALL)
    assert note is not None
    assert unescape(re.sub(r"<[^>]+>", "", note[1]).replace("&#13;", "\r")) == WARD


def test_viewing_a_note_is_recorded_in_the_audit_trail(view: View) -> None:
    view.get("/documents/2")
    engine = connect(f"sqlite:///{view.home / 'notemill.db'}")
    [*_, newest] = audit_trail.entries(engine, action=Action.SHOW)
    assert json.loads(newest.subject) == {"document": 2}
    engine.dispose()


def test_html_in_a_note_an_id_a_query_and_a_detail_shows_as_text(view: View) -> None:
    bodies = [view.get(path)[2] for path in PAGES]
    for body in bodies:
        assert not re.findall(r"<(?:img|u|i|b|em|svg onload)\b", body)
    assert "&lt;img src=x onerror=alert(1)&gt;" in bodies[2]
    assert "{{ 7 * 7 }}" in bodies[2]
    assert "\u202e" in ATTACK
    assert "\u202e" not in bodies[2]


def test_every_link_leads_to_a_page(view: View) -> None:
    links = {unescape(link) for path in PAGES for link in re.findall(r'href="(/[^"#]*)', view.get(path)[2])}
    assert len(links) >= 15
    assert [link for link in links if view.get(link.replace(" ", "%20"))[0] not in (200, 307)] == []


def test_a_missing_page_is_404_and_a_wrong_address_says_what_is_wrong(view: View) -> None:
    assert view.get("/documents/99")[0] == view.get("/nowhere")[0] == 404
    assert view.get("/runs/99")[0] == 400
    status, _, body = view.get("/documents?colour=red&reason=none")
    assert (status, "not known: colour, reason" in body) == (400, True)
    assert view.get("/documents?before=x")[0] == 400


def test_a_correction_is_stored_with_its_author_and_can_be_withdrawn(view: View) -> None:
    status, _, body = view.post("/documents/1/corrections", CORRECTION)
    (stored,) = view.queries.corrections_of(text_sha256(WARD))
    assert (status, stored.verdict, stored.corrected_by) == (200, "accepted", "ada")
    assert 'data-verdict="accepted"' in body
    view.post("/documents/1/corrections", CORRECTION | {"verdict": "withdraw"})
    assert view.queries.corrections_of(text_sha256(WARD)) == []


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}]
)
def test_a_correction_from_another_page_is_refused(view: View, headers: dict[str, str]) -> None:
    assert view.post("/documents/1/corrections", CORRECTION, **headers)[0] == 403
    assert view.queries.corrections_of(text_sha256(WARD)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"end": 9_999},
        {"end": PAIN},
        {"verdict": "perhaps"},
        {"label": ""},
        {"start": "-1"},
        {"assertion": "x"},
    ],
)
def test_an_invalid_correction_is_refused(view: View, change: dict[str, Any]) -> None:
    assert view.post("/documents/1/corrections", CORRECTION | change)[0] == 400
    assert view.queries.corrections_of(text_sha256(WARD)) == []


def test_pages_accept_no_post_requests(view: View) -> None:
    for path in ("/documents", "/documents/1", "/runs/1", "/failures"):
        assert view.post(path, {})[0] == 405


def test_searches_link_to_the_best_sentence_of_each_note(view: View) -> None:
    assert f">{QUERY.replace('<', '&lt;').replace('>', '&gt;')}<" in view.get("/searches")[2]
    body = view.get(PAGES[-1])[2]
    assert re.findall(r'href="/documents/(\d+)#at-', body) == ["2", "1"]


def test_failures_are_explained_with_the_command_to_type(view: View) -> None:
    body = view.get("/failures")[2]
    assert "took longer than NOTEMILL_TIME_LIMIT_SECONDS" in body
    assert "notemill retry --reason timed_out" in body


def test_an_unexpected_error_logs_its_type_and_location_without_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("the patient's words")

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "server": ("h", 1)}
    guard = AccessControl(broken, token="t", cookie="c", is_secure=False)
    asyncio.run(guard(scope | {"headers": [(b"cookie", b"c=t")]}, None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 500
    assert "ValueError at test_web_pages.py" in caplog.text
    assert "patient's" not in caplog.text + str(sent)


def test_expensive_counts_are_repeated_less_often() -> None:
    now, counted = [0.0], []

    def count() -> int:
        now[0] += 1.0
        counted.append(now[0])
        return len(counted)

    following = ProgressCache(lambda: now[0])
    assert [following.get("run", count) for _ in range(3)] == [1, 1, 1]
    now[0] += 11
    assert following.get("run", count) == 2
