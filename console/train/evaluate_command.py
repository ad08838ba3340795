"""`notemill train evaluate`: metrics as a table or as one JSON object, and a page of errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from console.terminal.terminal import count_of, printable, stderr, stdout
from console.train.evaluation_overview import overview
from exports.atomic_files import whole_file
from models.errors import UsageError
from models.settings import load_settings
from training.evaluation.error_pages import errors_page
from training.evaluation.evaluate import ALL, EvaluationPlan
from training.evaluation.evaluate import evaluate as evaluate_plan
from training.finetune.curves import draw_calibration

_ROW_NAMES = {
    "by_label": "",
    "findings_covered": "findings covered",
    "numbers_and_medications": "numbers and medications",
    "offsets_true": "offsets true",
    "map": "MAP",
    "ndcg_at_10": "nDCG@10",
    "r_precision": "R-precision",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "set_best": "set at its best threshold",
}
_ASIDE = frozenset({"task", "data", "records", "half", "labels_map", "baselines", "calibration", "max_words"})


def evaluate(
    task: str,
    data: Path,
    names: Sequence[str],
    limit: int | None,
    half: str | None,
    baselines: Sequence[str],
    summary_words: int | None,
    errors: Path | None,
    calibration: Path | None,
    *,
    as_json: bool,
) -> int:
    """Prints the table, or with `as_json` one object on the last line. Raises UsageError where a calibration
    plot is requested for a task without probabilities."""
    if calibration is not None and task != "entities":
        raise UsageError(f"--calibration goes with --task entities, not with {task}")
    plan = EvaluationPlan(
        task=task,
        data=data,
        map=names,
        limit=limit,
        half=half,
        baselines=baselines,
        summary_words=summary_words,
    )
    result = evaluate_plan(plan, load_settings())
    if errors is not None:
        title = f"{task} · {Path(result.figures['data']).name}"
        with whole_file(errors) as file:
            file.write(errors_page(result.cases, title).encode("utf-8", "replace"))
        stderr().print(f"The page is {errors}; it holds the notes' text.", soft_wrap=True)
    if calibration is not None:
        draw_calibration(calibration, result.figures["calibration"])
    if as_json:
        print(json.dumps(result.figures))
    elif task == ALL:
        stdout().print(overview(result.figures, _caption(result.figures)))
    else:
        stdout().print(_table(result.figures))
    return 0


def _caption(figures: Mapping[str, Any]) -> str:
    return f"{count_of(figures['records'], 'record')} of {printable(figures['data'])}"


def _table(figures: Mapping[str, Any]) -> Table:
    """A row for each metric; a column for ours and for each baseline, intervals in brackets."""
    columns = {"notemill": figures, **figures.get("baselines", {})}
    rows = {name: dict(_rows(scores)) for name, scores in columns.items()}
    table = Table(
        title=figures["task"], caption=_caption(figures), title_justify="left", caption_justify="left"
    )
    table.add_column("measure")
    for name in columns:
        table.add_column(name, justify="right")
    for measure in dict.fromkeys(name for scores in rows.values() for name in scores):
        table.add_row(measure, *(scores.get(measure, "") for scores in rows.values()))
    return table


def _rows(figures: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in figures.items():
        if (name in _ASIDE and not above) or name.endswith("_interval"):
            continue
        words = f"{above} {_ROW_NAMES.get(name, name.replace('_', ' '))}".strip()
        if isinstance(value, Mapping) and "f1" in value:
            yield from _triple(value, words)
        elif isinstance(value, Mapping):
            yield from _rows(value, words)
        else:
            yield words, _formatted(value, figures.get(f"{name}_interval"))


def _triple(figures: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
    """Precision, recall and F1 in one row with the interval of F1; further counts in rows of their own."""
    three = " ".join(f"{figures[measure]:.3f}" for measure in ("precision", "recall", "f1"))
    yield f"{name} P R F1", f"{three} [{_ends(figures['f1_interval'])}]"
    yield from (
        (f"{name} {measure}", _formatted(value, None))
        for measure, value in figures.items()
        if not measure.endswith("_interval") and measure not in ("precision", "recall", "f1")
    )


def _ends(interval: Sequence[float]) -> str:
    return f"{interval[0]:.3f}, {interval[1]:.3f}"


def _formatted(value: Any, interval: Sequence[float] | None) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3f}" if interval is None else f"{value:.3f} [{_ends(interval)}]"
