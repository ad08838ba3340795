"""Evaluation of search: rankings and sets of a note's sentences, beside BM25 and a dense retriever."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.answers import Answer, SearchAnswer, Task
from models.jobs import Question
from training.evaluation.baselines.registry import ranker
from training.evaluation.cases import Case, CaseMark, Side
from training.evaluation.evaluation_result import Result
from training.evaluation.metrics import ranking_metrics
from training.evaluation.metrics.counts import figures, mean_interval
from training.evaluation.pipeline_runner import PipelineRunner, are_offsets_true
from training.evaluation.records.evaluation_data import Record
from training.evaluation.records.evaluation_queries import EvaluationQuery, evaluation_queries


def evaluate(
    records: Sequence[Record], path: Path, baselines: Sequence[str], asking: PipelineRunner
) -> Result:
    """Runs every query on its text; baselines rank the same sentences, at their own best threshold."""
    asked = evaluation_queries(records, path)
    questions = [Question(task=Task.SEARCH, parameters={"query": one.query}) for one in asked]
    answers = asking.ask([one.text for one in asked], questions)
    scores = [_scores(one, answer) for one, answer in zip(asked, answers.answers, strict=True)]
    true = [
        are_offsets_true(one.text, answer)
        for one, answer in zip(asked, answers.answers, strict=True)
        if answer is not None
    ]
    measured = measure(asked, scores, asking.search_threshold)
    measured["set_best"] = _set(asked, scores, _best(asked, scores))
    measured["offsets_true"] = sum(true) / len(true) if true else 1.0
    measured |= answers.figures()
    for name in baselines:
        rank = ranker(name)
        theirs = [rank(one.query, [one.text[s.start : s.end] for s in one.sentences]) for one in asked]
        measured.setdefault("baselines", {})[name] = measure(asked, theirs, _best(asked, theirs))
    cases = [_case(one, some, asking.search_threshold) for one, some in zip(asked, scores, strict=True)]
    return Result(measured, cases)


def measure(
    asked: Sequence[EvaluationQuery], scores: Sequence[Sequence[float]], threshold: float
) -> dict[str, Any]:
    """Means over queries; the set micro over sentences."""
    ranked = [
        [one.relevant[place] for place in ranking_metrics.order(some)]
        for one, some in zip(asked, scores, strict=True)
    ]
    means = {
        "map": [ranking_metrics.average_precision(one) for one in ranked],
        "r_precision": [ranking_metrics.r_precision(one) for one in ranked],
        "ndcg_at_10": [ranking_metrics.ndcg(one) for one in ranked],
    }
    told: dict[str, Any] = {}
    for name, values in means.items():
        told |= {name: round(sum(values) / len(values), 4), f"{name}_interval": mean_interval(values)}
    return told | {"set": _set(asked, scores, threshold), "queries": len(asked)}


def _set(
    asked: Sequence[EvaluationQuery], scores: Sequence[Sequence[float]], threshold: float
) -> dict[str, Any]:
    counts = [
        ranking_metrics.set_counts(some, one.relevant, threshold)
        for one, some in zip(asked, scores, strict=True)
    ]
    return figures(counts) | {"threshold": round(threshold, 4)}


def _best(asked: Sequence[EvaluationQuery], scores: Sequence[Sequence[float]]) -> float:
    return ranking_metrics.best_threshold(scores, [one.relevant for one in asked])


def _scores(asked: EvaluationQuery, answer: Answer | None) -> list[float]:
    """A score for each sentence; 0 for those without one, and for all where the job failed."""
    found = answer.passages if isinstance(answer, SearchAnswer) else ()
    score = {(one.start, one.end): one.score for one in found}
    return [score.get((one.start, one.end), 0.0) for one in asked.sentences]


def _case(asked: EvaluationQuery, scores: Sequence[float], threshold: float) -> Case:
    relevant, chosen = [], []
    for span, hit, score in zip(asked.sentences, asked.relevant, scores, strict=True):
        is_served = score >= threshold
        if hit:
            relevant.append(CaseMark(span.start, span.end, "relevant", is_served))
        if is_served:
            chosen.append(CaseMark(span.start, span.end, f"{score:.2f}", hit))
    return Case(
        title=f"{asked.query} · {asked.id}",
        gold=Side(asked.text, tuple(relevant)),
        found=Side(asked.text, tuple(chosen)),
        errors=sum(not one.is_right for one in (*relevant, *chosen)),
    )
