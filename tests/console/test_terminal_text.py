"""Terminal output: harmless, readable, with commands as the user can type them. Pure functions."""

from __future__ import annotations

import signal
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.inspect.highlighted_text import Highlight, bracketed, coloured, highlights_of
from console.manage.config import without_password
from console.terminal.exit_status import run_to_exit
from console.terminal.progress_bar import pace_words
from console.terminal.terminal import command_to_type, human_bytes, human_duration, printable, shortened
from console.terminal.throughput import Throughput

NOTE = "He denies chest pain. Aspirin 81 mg daily."
PAIN = {"start": 10, "end": 20, "text": "chest pain", "label": "problem", "assertion": "negated"}
DOSE = {"start": 30, "end": 35, "text": "81 mg", "kind": "dosage"}
ASPIRIN = {"start": 22, "end": 29, "text": "Aspirin", "label": "medication", "assertion": "present"}
HIGHLIGHTS = highlights_of([{**PAIN, "attributes": []}, {**ASPIRIN, "attributes": [DOSE]}])


@given(st.text())
def test_no_control_character_but_line_feed_and_tab_reaches_the_terminal(text: str) -> None:
    assert all(character in "\n\t" or ord(character) >= 0x20 for character in printable(text))
    assert not set(printable(text)) & {chr(code) for code in (0x7F, *range(0x80, 0xA0), 0x202E, 0x2066)}


def test_an_escape_sequence_is_shown_and_does_nothing() -> None:
    assert printable("\x1b[31mred\x1b[0m") == "␛[31mred␛[0m"


def test_line_ends_of_every_system_are_line_feeds_on_the_terminal() -> None:
    assert printable("one\r\ntwo\rthree\nfour") == "one\ntwo\nthree\nfour"


def test_a_shortened_text_is_one_line_of_limited_length() -> None:
    assert shortened("one\r\n two   three", 9) == "one two …"


@given(st.text(alphabet="ab\x1b\r\n é"), st.data())
def test_highlighting_changes_no_character_of_the_note(text: str, data: st.DataObject) -> None:
    starts = data.draw(st.lists(st.integers(0, max(len(text) - 1, 0)), max_size=3))
    highlights = [
        Highlight(start, min(start + 2, len(text)), "problem") for start in starts if start < len(text)
    ]
    assert coloured(text, highlights).plain.replace("\r", "") == coloured(text, highlights).plain
    assert len(coloured(text, []).plain) <= len(text)
    assert bracketed(text, []).plain == printable(text)


def test_bracketed_text_names_label_and_assertion_after_each_mention() -> None:
    text = bracketed(NOTE, HIGHLIGHTS).plain
    assert text == "He denies [chest pain|problem, negated]. [Aspirin|medication] [81 mg|dosage] daily."


def test_coloured_text_also_names_the_assertion() -> None:
    assert coloured(NOTE, HIGHLIGHTS).plain == "He denies chest pain‹negated›. Aspirin 81 mg daily."


def test_coloured_text_gives_each_label_its_own_colour() -> None:
    text = coloured(NOTE, HIGHLIGHTS)
    colours = {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
    assert len({colours["chest pain"], colours["Aspirin"], colours["81 mg"]}) == 3
    assert "strike" in colours["chest pain"]


def test_nested_highlights_are_both_shown() -> None:
    highlights = [Highlight(0, 10, "problem"), Highlight(5, 10, "anatomy")]
    assert bracketed("left chest", highlights).plain == "[left [chest|anatomy]|problem]"


def test_pace_is_not_estimated_from_one_job() -> None:
    pace = Throughput(jobs_a_note=2)
    pace.count(0, 0)
    pace.count(10, 1)
    assert pace.notes_an_hour is None
    assert pace_words(pace, 9, 0) == "working · none failed"


def test_pace_counts_notes_and_time_left() -> None:
    pace = Throughput(jobs_a_note=2)
    pace.count(0, 0)
    pace.count(60, 20)
    assert pace_words(pace, 40, 1) == "600 notes an hour · 2 min left · 1 failed"


def test_a_remaining_time_that_has_passed_is_not_shown_again() -> None:
    pace = Throughput(jobs_a_note=1)
    for second in range(11):
        pace.count(second, 10 * second)
    assert pace.seconds_left(10) == 1
    pace.count(10.5, 100)
    assert pace.seconds_left(10) == pytest.approx(1.05)
    pace.count(20, 100)
    assert pace.seconds_left(10) is None
    pace.count(21, 109)
    assert pace.seconds_left(1) is not None


def test_pace_follows_the_last_five_minutes() -> None:
    pace = Throughput(jobs_a_note=1)
    for second in range(0, 1200, 10):
        pace.count(second, second if second < 600 else 600 + (second - 600) // 10)
    assert pace.jobs_a_second == pytest.approx(0.1, rel=0.1)


def test_durations_and_sizes_are_human_readable() -> None:
    durations = [human_duration(seconds) for seconds in (0.25, 42, 185, 7800, 7200)]
    assert durations == ["250 ms", "42 s", "3 min 5 s", "2 h 10 min", "2 h"]
    assert [human_bytes(size) for size in (12, 88e6, 4.1e9)] == ["12 bytes", "88 MB", "4.1 GB"]


def test_a_command_is_printed_as_it_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/notemill"])
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # no activated environment
    assert command_to_type("show", "note 1") == ".venv/bin/notemill show 'note 1'"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
        ("postgresql://me:se:c@r/et@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host/db?password=secret&x=1", "postgresql://host/db?password=***&x=1"),
        ("redis+socket:///run/redis.sock", "redis+socket:///run/redis.sock"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_an_unexpected_error_is_reported_by_its_location_and_never_by_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command(**_options: object) -> None:
        raise ValueError("a word of the note")

    assert run_to_exit(command) == 1
    words = capsys.readouterr().err
    assert "ValueError at test_terminal_text.py" in words
    assert "a word of the note" not in words
    assert words.count("\n") == 1


def test_under_nohup_a_closing_terminal_stays_ignored() -> None:
    seen: list[object] = []
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run_to_exit(lambda **_options: seen.append(signal.getsignal(signal.SIGHUP)))
    assert signal.signal(signal.SIGHUP, before) is signal.SIG_IGN
    assert seen == [signal.SIG_IGN]
