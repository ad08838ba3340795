"""Report at the end of a run: numbers, a sample, and what to type next."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

from console.run.run_samples import NoteSample, samples
from console.run.time_breakdown import time_breakdown, time_breakdown_json
from console.terminal.opened_database import Database
from console.terminal.terminal import command_to_type, count_of, human_duration, shortened, stdout
from models.answers import Task
from models.jobs import JobStatus
from models.progress import RunProgress
from models.queries.answer_counts import AnswerCounts, count_answers
from models.usage import RunUsage
from producer import Submitted

_SAMPLE_NOTES = 8
_TITLE_CHARACTERS = 48


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run that has ended."""

    submitted: Submitted
    progress: RunProgress
    answer_counts: AnswerCounts
    samples: list[NoteSample]
    seconds: float
    """Seconds of the whole command."""
    notes_an_hour: float | None
    """Notes with new jobs an hour since the first of them, the start of the worker included; None without new
    jobs."""
    charged: RunUsage | None
    """Usage; None where it was not asked for."""

    @classmethod
    def of(
        cls,
        database: Database,
        submitted: Submitted,
        progress: RunProgress,
        seconds: float,
        seconds_working: float,
        charged: RunUsage | None,
    ) -> RunReport:
        """Reads the results of a run."""
        results = database.queries.results(run_id=submitted.run_id)
        return cls(
            submitted=submitted,
            progress=progress,
            answer_counts=count_answers(database.engine, submitted.run_id),
            samples=samples(results, _SAMPLE_NOTES),
            seconds=seconds,
            notes_an_hour=submitted.owed_documents * 3600 / seconds_working if seconds_working else None,
            charged=charged,
        )


def report_json(report: RunReport) -> None:
    """The report as one JSON object."""
    progress, submitted = report.progress, report.submitted
    rejects = submitted.rejects_path
    value = {
        **asdict(submitted),
        "rejects_path": None if rejects is None else str(rejects),
        "jobs": {status.value: getattr(progress, status.value) for status in JobStatus},
        "by_task": progress.by_task,
        "finished_before": progress.finished_before,
        "reasons": progress.reasons,
        **report.answer_counts.model_dump(exclude={"finished_before"}),
        "duration_seconds": round(report.seconds, 3),
        "notes_an_hour": None if report.notes_an_hour is None else round(report.notes_an_hour, 1),
    }
    if report.charged is not None:
        value["spent"] = time_breakdown_json(report.charged)
    print(json.dumps(value))


def print_report(report: RunReport) -> None:
    """Prints the report as tables and words."""
    console = stdout()
    console.print()
    console.print(_summary_line(report), soft_wrap=True)
    console.print(_jobs_table(report))
    console.print(_answers_line(report.answer_counts), soft_wrap=True)
    for words in _troubles(report):
        console.print(Text(words, style="yellow"), soft_wrap=True)
    if report.samples:
        console.print()
        console.print(_samples_table(report))
    if report.charged is not None:
        pace = report.notes_an_hour
        console.print()
        console.print(time_breakdown(report.charged, is_done=True, notes_an_hour=pace))
    console.print("\nNext, type:", style="bold")
    for command in next_commands(report.progress, report.answer_counts, report.samples):
        console.print(Text(f"  {command}", style="cyan"), soft_wrap=True)


def _summary_line(report: RunReport) -> Text:
    pace = f", {report.notes_an_hour:,.0f} notes an hour" if report.notes_an_hour else ""
    notes = count_of(report.submitted.documents, "note")
    words = f"Run {report.submitted.run_id}: {notes} in {human_duration(report.seconds)}{pace}"
    return Text(
        words if report.submitted.new_jobs else f"{words}; every answer was there already", style="bold"
    )


def _jobs_table(report: RunReport) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("jobs")
    for name in ("finished", "from before", "failed"):
        table.add_column(name, justify="right")
    for task, by_status in sorted(report.progress.by_task.items()):
        finished, before = (
            by_status[JobStatus.FINISHED],
            report.answer_counts.finished_before.get(task.value, 0),
        )
        failed = by_status[JobStatus.FAILED]
        table.add_row(
            task.value, f"{finished:,}", f"{before:,}", Text(f"{failed:,}", "red" if failed else "")
        )
    return table


def _answers_line(answer_counts: AnswerCounts) -> Text:
    parts = []
    if answer_counts.entities:
        labels = ", ".join(f"{label} {count:,}" for label, count in answer_counts.entities.items())
        parts.append(f"{count_of(answer_counts.total_entities, 'entity', 'entities')} ({labels})")
    if answer_counts.passages:
        parts.append(count_of(answer_counts.passages, "passage"))
    if answer_counts.summaries:
        flagged = (
            f", {answer_counts.flagged_sentences:,} of them flagged"
            if answer_counts.flagged_sentences
            else ""
        )
        sentences = count_of(answer_counts.summary_sentences, "sentence")
        parts.append(f"{count_of(answer_counts.summaries, 'summary', 'summaries')} ({sentences}{flagged})")
    return Text("Found: " + " · ".join(parts) if parts else "Found nothing.")


def _troubles(report: RunReport) -> list[str]:
    lines = [f"Failed, {reason}: {count:,}" for reason, count in sorted(report.progress.reasons.items())]
    if report.progress.cancelled:
        lines.append(f"Cancelled: {report.progress.cancelled:,}")
    if report.submitted.refused:
        why = ", ".join(f"{words} {count:,}" for words, count in report.submitted.refused_by_reason.items())
        lines.append(
            f"Not taken: {report.submitted.refused:,} ({why}), listed in {report.submitted.rejects_path}"
        )
    return lines


def _samples_table(report: RunReport) -> Table:
    tasks = report.progress.by_task
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("note", overflow="fold")
    if Task.SUMMARY in tasks:
        table.add_column("title of the summary")
    if Task.ENTITIES in tasks:
        table.add_column("entities")
    if Task.SEARCH in tasks:
        table.add_column("passages", justify="right")
    for sample in report.samples:
        table.add_row(*_sample_cells(sample, report))
    more = report.submitted.documents - len(report.samples)
    table.caption = f"… and {more:,} more" if more > 0 else None
    table.caption_justify = "left"
    return table


def _sample_cells(sample: NoteSample, report: RunReport) -> list[Text]:
    failed = dict(failure.split(": ", 1) for failure in sample.failures)
    cells = [Text(shortened(sample.external_id, 40), style="bold")]
    for task in (Task.SUMMARY, Task.ENTITIES, Task.SEARCH):
        if task not in report.progress.by_task:
            continue
        if task.value in failed:
            cells.append(Text(failed[task.value], style="red"))
        elif task is Task.SUMMARY:
            flags = f" ({sample.flagged_sentences} flagged)" if sample.flagged_sentences else ""
            cells.append(Text(shortened(sample.title or "–", _TITLE_CHARACTERS) + flags))
        elif task is Task.ENTITIES:
            counts = ", ".join(f"{label} {count}" for label, count in sample.entities.items())
            cells.append(Text(counts or "none"))
        else:
            cells.append(Text(str(sample.passages or 0)))
    return cells


_BY_LABEL = (
    "SELECT label, assertion, COUNT(*) AS mentions FROM v_entities WHERE is_newest"
    " GROUP BY label, assertion ORDER BY mentions DESC"
)
_TITLES = "SELECT external_id, title, flagged_sentences FROM v_summaries WHERE is_newest"
_PASSAGES = "SELECT external_id, query, score, text FROM v_passages WHERE is_newest ORDER BY score DESC"


def next_commands(
    progress: RunProgress, answer_counts: AnswerCounts, samples: Sequence[NoteSample]
) -> list[str]:
    """Commands that show the results of this run."""
    run = str(progress.run_id)
    commands = [command_to_type("show", reference_of(samples[0]))] if samples else []
    commands.append(
        command_to_type("results", "--run", run, "--format", "jsonl", "--output", f"run-{run}.jsonl")
    )
    if answer_counts.entities:
        commands.append(command_to_type("sql", _BY_LABEL))
    elif answer_counts.summaries:
        commands.append(command_to_type("sql", _TITLES))
    elif answer_counts.passages:
        commands.append(command_to_type("sql", _PASSAGES))
    if progress.failed:
        commands.append(command_to_type("retry", "--run", run))
    return commands


def reference_of(sample: NoteSample) -> str:
    """A note's name on a command line; its number where its id could be taken for something else."""
    is_plain = sample.external_id.isprintable() and not sample.external_id.startswith(("-", "#"))
    return sample.external_id if is_plain else f"#{sample.document_id}"
