"""Report of a nightly run: finished, open and failed jobs, beside the run before."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict

from console.terminal.terminal import human_duration
from models.progress import RunProgress
from models.queries.answer_counts import AnswerCounts


class NightlyReport(BaseModel):
    """Values of the report, stored with the nightly run as JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    plan: str
    run: int
    began: datetime
    ended: datetime
    until: datetime | None
    is_stopped_at_deadline: bool
    is_interrupted: bool = False
    notes_new: int
    notes_carried_over: int
    notes_refused: int
    refused_by_reason: dict[str, int]
    notes_owed: int
    """Notes with owed jobs."""
    notes_left: int
    jobs_done: int
    jobs_left: int
    jobs_failed: int
    failed_by_reason: dict[str, int]
    seconds_working: float
    """Seconds from the first message to the end."""
    notes_an_hour: float | None
    forecast_seconds: float | None
    entities: int
    passages: int
    summaries: int
    summary_sentences: int
    flagged_sentences: int

    @property
    def flagged_share(self) -> float | None:
        return self.flagged_sentences / self.summary_sentences if self.summary_sentences else None

    @property
    def outcome(self) -> str:
        """The outcome in one sentence."""
        if self.is_interrupted:
            return f"Interrupted; {self.notes_left:,} notes are left for the next run."
        if self.is_stopped_at_deadline:
            return f"Stopped at {self.until:%H:%M}; {self.notes_left:,} notes are left for the next run."
        failed = f"; {self.jobs_failed:,} jobs failed" if self.jobs_failed else ""
        return f"All is done{failed}."


def rows(report: NightlyReport, last: NightlyReport | None) -> list[tuple[str, str, str]]:
    """Rows of the table: name, this run, the run before; '–' without a number."""
    both = [_figures(report), _figures(last) if last else {}]
    return [(name, figure, both[1].get(name, "–")) for name, figure in both[0].items()]


def write_report(report: NightlyReport, last: NightlyReport | None, folder: Path) -> tuple[Path, Path]:
    """The report as Markdown and as HTML, mode 0600; returns the files. Numbers only, no word of a note."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stem = f"{report.plan}-{report.began:%Y-%m-%d}-run-{report.run}"
    given = {"report": report, "rows": rows(report, last), "last": last}
    paths = []
    for ending in ("md", "html"):
        environment = Environment(
            loader=FileSystemLoader(Path(__file__).with_name("templates")),
            undefined=StrictUndefined,
            autoescape=ending == "html",  # noqa: S701  Markdown is no HTML
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        path = folder / f"{stem}.{ending}"
        text = environment.get_template(f"nightly.{ending}.jinja").render(**given)
        _write(path, text)
        paths.append(path)
    return paths[0], paths[1]


def counts(progress: RunProgress, answers: AnswerCounts) -> dict[str, Any]:
    """The figures of a report that come from the database."""
    num_open_jobs = progress.pending + progress.running + progress.cancelled
    return {
        "jobs_done": progress.finished - progress.finished_before,
        "jobs_left": num_open_jobs,
        "jobs_failed": progress.failed,
        "failed_by_reason": progress.reasons,
        "entities": answers.total_entities,
        "passages": answers.passages,
        "summaries": answers.summaries,
        "summary_sentences": answers.summary_sentences,
        "flagged_sentences": answers.flagged_sentences,
    }


def _figures(report: NightlyReport) -> dict[str, str]:
    notes = max(report.notes_owed - report.notes_left, 1)
    flagged = report.flagged_share
    forecast = report.forecast_seconds
    return {
        "new notes": f"{report.notes_new:,}",
        "carried over from the night before": f"{report.notes_carried_over:,}",
        "not taken": f"{report.notes_refused:,}",
        "notes with something to do": f"{report.notes_owed:,}",
        "notes left": f"{report.notes_left:,}",
        "jobs done": f"{report.jobs_done:,}",
        "jobs failed": f"{report.jobs_failed:,}",
        "time": human_duration(report.seconds_working),
        "time as forecast": "–" if forecast is None else human_duration(forecast),
        "notes an hour": "–" if report.notes_an_hour is None else f"{report.notes_an_hour:,.0f}",
        "entities a note": _a_note(report.entities, notes),
        "passages a note": _a_note(report.passages, notes),
        "summary sentences flagged": "–" if flagged is None else f"{flagged:.1%}",
    }


def _a_note(count: int, notes: int) -> str:
    return f"{count / notes:,.1f}" if count else "–"


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)
