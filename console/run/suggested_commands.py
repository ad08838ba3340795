"""Suggested commands after a run, complete as they are printed."""

from __future__ import annotations

from collections.abc import Sequence

from console.run.run_samples import NoteSample
from console.terminal.terminal import typed
from models.progress import RunProgress
from models.queries.answer_counts import AnswerCounts

_BY_LABEL = (
    "SELECT label, assertion, COUNT(*) AS mentions FROM v_entities WHERE is_newest"
    " GROUP BY label, assertion ORDER BY mentions DESC"
)
_TITLES = "SELECT external_id, title, flagged_sentences FROM v_summaries WHERE is_newest"
_PASSAGES = "SELECT external_id, query, score, text FROM v_passages WHERE is_newest ORDER BY score DESC"


def next_commands(progress: RunProgress, found: AnswerCounts, samples: Sequence[NoteSample]) -> list[str]:
    """Commands that show the results of this run."""
    run = str(progress.run_id)
    commands = [typed("show", reference_of(samples[0]))] if samples else []
    commands.append(typed("results", "--run", run, "--format", "jsonl", "--output", f"run-{run}.jsonl"))
    if found.entities:
        commands.append(typed("sql", _BY_LABEL))
    elif found.summaries:
        commands.append(typed("sql", _TITLES))
    elif found.passages:
        commands.append(typed("sql", _PASSAGES))
    if progress.failed:
        commands.append(typed("retry", "--run", run))
    return commands


def reference_of(sample: NoteSample) -> str:
    """A note's name on a command line; its number where its id could be taken for something else."""
    is_plain = sample.external_id.isprintable() and not sample.external_id.startswith(("-", "#"))
    return sample.external_id if is_plain else f"#{sample.document_id}"
