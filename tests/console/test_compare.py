"""`notemill compare` matches mentions by position and leaves the archive unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from console.inspect.compare import Change, counted, entity_changes

if TYPE_CHECKING:
    from commands import Notemill

pytest_plugins = ("commands",)


def _entity(start: int, text: str, label: str = "problem", assertion: str = "present") -> dict[str, object]:
    return {"start": start, "end": start + len(text), "text": text, "label": label, "assertion": assertion}


def test_entity_changes_match_mentions_by_position() -> None:
    before = [_entity(0, "pain"), _entity(9, "Hb"), _entity(20, "fever"), _entity(30, "cough")]
    after = [
        *(_entity(0, "pain"), _entity(9, "Hb", "test"), _entity(20, "fever", assertion="negated")),
        _entity(40, "rash"),
    ]
    assert list(entity_changes(before, after)) == [
        Change("kept", "pain"),
        Change("relabelled", "Hb", "problem", "test"),
        Change("asserted otherwise", "fever", "present", "negated"),
        Change("lost", "cough", after="problem"),
        Change("gained", "rash", after="problem"),
    ]
    assert set(counted(entity_changes(before, after)).values()) == {1}


def test_compare_tries_other_settings_without_changing_the_archive(notemill: Notemill) -> None:
    notemill.write(one="Fever since Monday. No cough.", two="Pain. Rash on the arm.")
    assert notemill("run", notemill.notes, "--search", "fever", "--quiet") == 0, notemill.err
    (recipe,) = {row["recipe"] for row in _results(notemill)}
    (notemill.home / "other.toml").write_text("window_tokens = 60\n")
    report = notemill.json("compare", recipe[:8], notemill.home / "other.toml")
    assert (report["notes"], report["compared"], report["failed"]) == (2, 2, [0, 0])
    assert report["passages"]["kept"] > 0
    assert report["hours"][0] is None
    assert report["hours"][1] is not None
    assert {row["recipe"] for row in _results(notemill)} == {recipe}
    assert list(notemill.home.glob("compare-*")) == []
    assert notemill("compare", recipe[:8], "now") == 0
    assert "with one worker of this speed" in notemill.out


@pytest.mark.parametrize("recipe", ["ffff", "%", "nowhere.toml"])
def test_an_unknown_recipe_is_exit_status_2(notemill: Notemill, recipe: str) -> None:
    assert notemill("compare", recipe, "now") == 2
    assert recipe in notemill.err


def _results(notemill: Notemill) -> list[dict[str, str]]:
    import json

    assert notemill("results", "--format", "jsonl") == 0
    return [json.loads(line) for line in notemill.out.splitlines()]
