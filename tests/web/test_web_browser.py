"""The pages in a real browser: mouse, keyboard, corrections, narrow and wide screens, light and dark."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from view_notes import ATTACK, TOKEN, WARD

from console.inspect.corrections_command import write_corrections
from console.inspect.show import show_document
from models.documents import text_sha256
from models.schema.database import connect, write_transaction

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from view_server import View

pytest_plugins = ("view_server",)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium for the pages: apt-get install chromium"
)

LOOKING = (Path(__file__).parent / "looking.js").read_text("utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, view: View) -> Iterator[Page]:
    """A page with access; an error or message in the browser's console fails the test."""
    context = browser.new_context(base_url=view.address)
    page = context.new_page()
    page.set_default_timeout(20_000)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    page.goto(f"/documents/1?token={TOKEN}")
    yield page
    context.close()
    with write_transaction(connect(f"sqlite:///{view.home / 'notemill.db'}")) as connection:
        connection.execute(text("DELETE FROM corrections"))
    assert complaints == []


def lit(page: Page) -> list[str]:
    return [" ".join(words.split()) for words in page.locator(".is-lit").all_inner_texts()]


def stored(view: View) -> list[tuple[str, str, str, str]]:
    """Returns verdict, label, assertion and the note's words for each correction of WARD."""
    corrections = view.queries.corrections_of(text_sha256(WARD))
    return [
        (correction.verdict, correction.label, correction.assertion, WARD[correction.start : correction.end])
        for correction in corrections
    ]


def call_looking_js(page: Page, function: str) -> Any:
    """Calls a function of tests/web/looking.js and returns its result."""
    return page.evaluate(f"() => {{ {LOOKING}\n return {function}(); }}")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def renewed(page: Page, words: str) -> None:
    """Waits until the page confirms with these words that a correction was stored."""
    page.locator("#told", has_text=words).wait_for(state="attached")


def test_hovering_a_sentence_highlights_its_sources(page: Page) -> None:
    page.hover(".sentence >> text=It hurts.")
    assert lit(page) == ["Pain", "ily."]
    page.hover("h1")
    assert lit(page) == []


def test_focusing_a_sentence_highlights_its_sources(page: Page) -> None:
    page.locator(".sentence", has_text="It hurts.").locator(".source").nth(1).focus()
    assert lit(page) == ["Pain", "ily."]
    press(page, "Enter")
    assert page.url.endswith(f"#at-{len(WARD.rstrip()) - 4}")


def test_hovering_a_passage_highlights_it_in_the_note(page: Page) -> None:
    page.hover(".passages li")
    assert lit(page) == ["Pain"]


def test_a_mention_is_accepted_by_keyboard_alone_and_becomes_a_training_record(
    page: Page, view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.locator("mark.mention").first.focus()
    press(page, "ArrowRight", "ArrowLeft", "a")
    renewed(page, "Accepted: Pain.")
    assert page.evaluate("document.activeElement.textContent") == "Pain"
    assert stored(view) == [("accepted", "problem", "present", "Pain")]
    monkeypatch.setenv("NOTEMILL_HOME", str(view.home))
    write_corrections(tmp_path / "corrected.jsonl")
    (note,) = map(json.loads, (tmp_path / "corrected.jsonl").read_text("utf-8").splitlines())
    assert (note["id"], note["text"], note["is_complete"]) == ("ward", WARD, False)
    assert [(entity["text"], entity["verdict"]) for entity in note["entities"]][:2] == [
        ("Pain", "accepted"),
        ("fever", ""),
    ]


def test_a_mention_is_rejected_with_the_mouse_and_the_rejection_undone(page: Page, view: View) -> None:
    page.click("mark.mention >> text=Aspirin")
    page.click("#correction >> text=Wrong")
    renewed(page, "Rejected: Aspirin.")
    assert stored(view) == [("rejected", "medication", "present", "Aspirin")]
    page.click("#correction >> text=Undo")
    renewed(page, "Undone: Aspirin.")
    assert stored(view) == []


def test_a_fix_changes_label_assertion_and_extent_to_the_character(page: Page, view: View) -> None:
    page.click("mark.mention >> text=Pain")
    press(page, "f")
    page.select_option("#c-label", "medication")
    page.select_option("#c-assertion", "possible")
    for _ in range(2):
        page.click("[data-move='end 1']")
    page.click("#correction [data-save]")
    renewed(page, "Saved: Pain in the.")
    assert stored(view) == [("fixed", "medication", "possible", "Pain in the")]


def test_a_missed_mention_is_added_by_its_words_after_an_emoji_and_line_ends(page: Page, view: View) -> None:
    page.fill("#find-words", "left ARM")
    press(page, "Enter")
    page.select_option("#c-label", "problem")
    page.click("#correction [data-save]")
    renewed(page, "Saved: left arm.")
    assert stored(view) == [("added", "problem", "present", "left arm")]


def test_a_missed_mention_is_added_by_selecting_it(page: Page, view: View) -> None:
    box = page.locator("#note span", has_text=" in the left arm").bounding_box()
    assert box is not None
    page.mouse.dblclick(box["x"] + 40, box["y"] + box["height"] / 2)
    page.select_option("#c-label", "medication")
    page.click("#correction [data-save]")
    renewed(page, "Saved: the.")
    assert stored(view) == [("added", "medication", "present", "the")]


def test_the_remaining_mentions_are_accepted_at_once(page: Page, view: View) -> None:
    page.click("mark.mention >> text=fever")
    page.click("#correction >> text=Wrong")
    renewed(page, "Rejected: fever.")
    page.click("[data-accept-rest]")
    renewed(page, "remaining")
    assert [correction[0] for correction in stored(view)] == ["accepted", "rejected", "accepted"]


def test_labels_and_assertions_can_be_hidden(page: Page) -> None:
    page.uncheck("[data-show-label=medication]")
    page.uncheck("[data-show-assertion=negated]")
    assert page.locator("mark.mention:not(.is-hidden)").all_inner_texts() == ["Pain"]
    assert page.locator(".mention-list li:visible a").all_inner_texts() == ["Pain"]


def test_html_in_a_note_is_shown_as_text(page: Page) -> None:
    page.goto("/documents/2")
    assert page.locator("#note").evaluate("note => note.textContent") == ATTACK.replace("\u202e", "�")
    assert page.locator("#note img, #note svg, #note script").count() == 0
    assert page.title() == "<u>attack</u> · notemill"


def test_progress_updates_without_reloading_the_page(page: Page, view: View) -> None:
    page.goto("/runs/1")
    page.evaluate("window.isStillHere = true")
    before = page.inner_text("[data-live] .state")
    engine = connect(f"sqlite:///{view.home / 'notemill.db'}")
    with write_transaction(engine) as connection:
        connection.execute(text("UPDATE jobs SET status = 'cancelled' WHERE text_sha256 = :sha"), _waiting())
    page.locator("[data-over='1']").wait_for(state="attached")
    assert page.inner_text("[data-live] .state") != before
    assert page.evaluate("window.isStillHere")
    with write_transaction(engine) as connection:
        connection.execute(text("UPDATE jobs SET status = 'pending' WHERE text_sha256 = :sha"), _waiting())
    engine.dispose()


def _waiting() -> dict[str, Any]:
    return {"sha": text_sha256("A note that waits.")}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_and_controls_have_names(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    for path in ("/documents", "/documents/1", "/documents/3", "/runs/1", "/failures"):
        page.goto(path)
        if path == "/documents/1":
            page.click("mark.mention >> text=fever")
            page.hover(".sentence >> text=It hurts.")
        assert call_looking_js(page, "tooFaint") == {}
        assert call_looking_js(page, "nameless") == []


def test_a_narrow_screen_never_scrolls_sideways(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for path in ("/documents", "/documents/1", "/documents/2", "/runs", "/runs/1", "/searches", "/failures"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_the_selected_theme_is_kept_across_pages(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    page.click("[data-theme-switch]")
    page.goto("/runs")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    assert page.inner_text("[data-theme-switch]") == "Light"


def test_a_page_saved_to_a_file_works_offline_and_fetches_nothing(
    browser: Browser, view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTEMILL_HOME", str(view.home))
    file = tmp_path / "page.html"
    show_document("#2", run_id=None, is_plain=False, html=file)
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: asked.append(message.text))
    page.goto(file.as_uri())
    page.hover(".sentence >> text=It hurts.")
    assert lit(page) == ["Pain"]
    assert asked == [file.as_uri()]
    assert file.stat().st_mode & 0o077 == 0
    page.close()
