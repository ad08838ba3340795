"""`notemill compare`: what another recipe changes on a sample of notes, and the hours for the archive."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationError
from rich.table import Table
from rich.text import Text

from console.inspect.trial_run import TrialResult, run_trial
from console.terminal.opened_database import Database, database
from console.terminal.progress_bar import ProgressOutput, progress_output
from console.terminal.terminal import count_of, printable, shortened, stdout
from models.answers import Task
from models.documents import Document
from models.errors import UsageError
from models.jobs import Question
from models.queries import recipe_comparison
from models.settings import Settings, load_settings

_NOW = "now"
_SHOWN = 30

Kind = Literal["kept", "gained", "lost", "relabelled", "asserted otherwise"]


@dataclass(frozen=True, slots=True)
class Change:
    """One mention or passage, and how it changed."""

    kind: Kind
    text: str
    before: str = ""
    after: str = ""
    """The label or assertion afterwards, where it differs."""


@dataclass(frozen=True, slots=True)
class _Side:
    """A recipe as typed: stored answers, or settings to try."""

    typed: str
    recipe_id: str | None = None
    task: Task | None = None
    settings: Settings | None = None


def compare(first: str, second: str, *, notes: int, is_quiet: bool, as_json: bool) -> int:
    """Prints the comparison. Raises UsageError for unknown recipes or no common notes."""
    settings, reporter = load_settings(), progress_output(is_quiet=is_quiet or as_json)
    with database(settings) as opened:
        sides = [_side(typed, settings, opened) for typed in (first, second)]
        stored = [side.recipe_id for side in sides if side.recipe_id]
        documents = recipe_comparison.sample_notes(opened.engine, stored, notes)
        if not documents:
            raise UsageError("no note has answers of these recipes: choose others.")
        questions = _questions(opened, sides, documents, settings)
        trials = [_answers(side, opened, documents, questions, reporter) for side in sides]
        archive = recipe_comparison.count_texts(opened.engine)
    report = _report(sides, trials, len(documents), archive)
    print(json.dumps(report, ensure_ascii=False)) if as_json else _print(report)
    return 0


def _side(typed: str, settings: Settings, opened: Database) -> _Side:
    if typed == _NOW:
        return _Side(typed, settings=settings)
    if typed.endswith(".toml"):
        try:
            changed = tomllib.loads(Path(typed).read_text("utf-8"))
            return _Side(typed, settings=Settings(**{**settings.model_dump(), **changed}))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
            raise UsageError(f"{typed} is not a file of settings: {type(error).__name__}.") from None
    recipe_id, task = recipe_comparison.recipe(opened.engine, typed)
    return _Side(typed, recipe_id, task)


def _questions(
    opened: Database, sides: list[_Side], documents: list[Document], settings: Settings
) -> list[Question]:
    """The questions of the stored side; where both are tried, the tasks that need no words."""
    tasks = {side.task for side in sides if side.task}
    if len(tasks) > 1:
        raise UsageError("the two recipes are of different tasks: there is nothing to compare.")
    for side in sides:
        if side.recipe_id:
            return recipe_comparison.questions(opened.engine, side.recipe_id, documents)
    summary = Question(task=Task.SUMMARY, parameters={"max_words": settings.summary_words})
    return [Question(task=Task.ENTITIES), summary]


def _answers(
    side: _Side,
    opened: Database,
    documents: list[Document],
    questions: list[Question],
    reporter: ProgressOutput,
) -> TrialResult:
    if side.settings is not None:
        return run_trial(side.settings, documents, questions, reporter)
    return TrialResult(recipe_comparison.answers(opened.engine, side.recipe_id or "", documents), 0, 0.0)


def _report(sides: list[_Side], trials: list[TrialResult], notes: int, archive: int) -> dict[str, Any]:
    before, after = (trial.answers for trial in trials)
    entities: list[tuple[str, Change]] = []
    passages: list[tuple[str, Change]] = []
    summaries = []
    for key in sorted(before.keys() & after.keys()):
        old, new = before[key], after[key]
        mentions = entity_changes(old.get("entities", ()), new.get("entities", ()))
        entities += [(key[0], mention) for mention in mentions]
        sentences = passage_changes(old.get("passages", ()), new.get("passages", ()))
        passages += [(key[0], sentence) for sentence in sentences]
        if "summary" in old:
            texts = (old["summary"]["text"], new["summary"]["text"])
            summaries.append({"note": key[0], "before": texts[0], "after": texts[1]})
    return {
        "before": sides[0].typed,
        "after": sides[1].typed,
        "notes": notes,
        "compared": len(before.keys() & after.keys()),
        "failed": [trial.failed for trial in trials],
        "entities": counted(change for _, change in entities),
        "passages": counted(change for _, change in passages),
        "changes": [
            {"note": note, **asdict(change)} for note, change in entities + passages if change.kind != "kept"
        ],
        "summaries": summaries,
        "archive_notes": archive,
        "hours": [
            round(trial.seconds / notes * archive / 3600, 3) if trial.seconds else None for trial in trials
        ],
    }


def _print(report: dict[str, Any]) -> None:
    console = stdout()
    recipes = f"{report['before']} → {report['after']}"
    console.print(f"{recipes}: {count_of(report['notes'], 'note')}, {report['compared']} answers under both")
    for name in ("entities", "passages"):
        if any(report[name].values()):
            words = ", ".join(f"{count:,} {kind}" for kind, count in report[name].items() if count)
            console.print(f"{name}: {words}", style="bold")
    changes = _table("note", "what", "text", "before", "after")
    for change in report["changes"][:_SHOWN]:
        cells = (change["note"], change["kind"], change["text"], change["before"], change["after"])
        changes.add_row(*(Text(shortened(cell, 60)) for cell in cells))
    if report["changes"]:
        console.print(changes)
        if (more := len(report["changes"]) - _SHOWN) > 0:
            console.print(f"… and {count_of(more, 'change')} more; --json has them all.", style="dim")
    summaries = _table("note", "before", "after")
    for summary in report["summaries"]:
        texts = (Text(printable(summary[name])) for name in ("before", "after"))
        summaries.add_row(Text(shortened(summary["note"], 30)), *texts)
    if report["summaries"]:
        console.print(summaries)
    for side, hours, failed in zip(("before", "after"), report["hours"], report["failed"], strict=True):
        if hours is not None:
            estimate = f"{report[side]}: {hours:,.2f} hours for {count_of(report['archive_notes'], 'note')}"
            console.print(f"{estimate}, with one worker of this speed; {failed} jobs of the sample failed")


def _table(*titles: str) -> Table:
    table = Table(pad_edge=False, header_style="bold", show_lines=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


def entity_changes(before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]) -> Iterator[Change]:
    """Changes by characters: a changed label, otherwise a changed assertion."""
    old, new = _by_span(before), _by_span(after)
    for span in sorted(old.keys() | new.keys()):
        earlier, later = old.get(span), new.get(span)
        if earlier is None or later is None:
            entity = later or earlier or {}
            yield Change("lost" if later is None else "gained", entity["text"], after=entity["label"])
        elif earlier["label"] != later["label"]:
            yield Change("relabelled", earlier["text"], earlier["label"], later["label"])
        elif earlier["assertion"] != later["assertion"]:
            yield Change("asserted otherwise", earlier["text"], earlier["assertion"], later["assertion"])
        else:
            yield Change("kept", earlier["text"])


def passage_changes(before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]) -> Iterator[Change]:
    """Changes by characters; the score may differ."""
    old, new = _by_span(before), _by_span(after)
    for span in sorted(old.keys() | new.keys()):
        kind: Kind = "kept" if span in old and span in new else "gained" if span in new else "lost"
        yield Change(kind, (new.get(span) or old[span])["text"])


def counted(changes: Iterable[Change]) -> dict[str, int]:
    """Counts by kind of change, in a fixed order."""
    counts = Counter(change.kind for change in changes)
    return {kind: counts[kind] for kind in get_args(Kind)}


def _by_span(items: Iterable[dict[str, Any]]) -> dict[tuple[int, int], dict[str, Any]]:
    return {(item["start"], item["end"]): item for item in items}
