"""Evaluation of search: the ranking and the served set of sentences, with BM25 and MiniLM baselines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.answers import Answer, SearchAnswer, Task
from models.jobs import Question
from training.evaluation.baselines.registry import ranker
from training.evaluation.cases import Case, Highlight, Side
from training.evaluation.evaluation_result import Result
from training.evaluation.metrics import calibration_error, ranking_metrics
from training.evaluation.metrics.counts import figures, mean_interval
from training.evaluation.pipeline_runner import PipelineRunner, are_offsets_true
from training.evaluation.records.evaluation_data import Record
from training.evaluation.records.evaluation_queries import EvaluationQuery, evaluation_queries


def evaluate(
    records: Sequence[Record], path: Path, baselines: Sequence[str], runner: PipelineRunner
) -> Result:
    """Runs every query on its text; baselines rank the same sentences, with their own best threshold."""
    queries = evaluation_queries(records, path)
    questions = [Question(task=Task.SEARCH, parameters={"query": query.query}) for query in queries]
    answers = runner.ask([query.text for query in queries], questions)
    scores = [_scores(query, answer) for query, answer in zip(queries, answers.answers, strict=True)]
    offset_checks = [
        are_offsets_true(query.text, answer)
        for query, answer in zip(queries, answers.answers, strict=True)
        if answer is not None
    ]
    measured = measure(queries, scores, runner.search_threshold)
    measured["set_best"] = _set_metrics(queries, scores, _best_threshold(queries, scores))
    measured["offsets_true"] = sum(offset_checks) / len(offset_checks) if offset_checks else 1.0
    measured["calibration"] = _calibration(queries, scores, runner.search_threshold)
    measured |= answers.figures()
    for name in baselines:
        rank = ranker(name)
        baseline_scores = [
            rank(query.query, [query.text[span.start : span.end] for span in query.sentences])
            for query in queries
        ]
        measured.setdefault("baselines", {})[name] = measure(
            queries, baseline_scores, _best_threshold(queries, baseline_scores)
        )
    cases = [
        _case(query, query_scores, runner.search_threshold)
        for query, query_scores in zip(queries, scores, strict=True)
    ]
    return Result(measured, cases)


def measure(
    queries: Sequence[EvaluationQuery], scores: Sequence[Sequence[float]], threshold: float
) -> dict[str, Any]:
    """Metrics of all queries on which a search depends.

    Ranking metrics and `first_right` are means over the queries that the note answers, `silent` over those
    that it does not. The set's metrics are micro averages over the sentences of all queries.
    """
    pairs = list(zip(queries, scores, strict=True))
    ranked = [
        [query.relevant[index] for index in ranking_metrics.order(query_scores)]
        for query, query_scores in pairs
        if any(query.relevant)
    ]
    served = [[score for score in query_scores if score >= threshold] for _, query_scores in pairs]
    means: dict[str, list[float]] = {
        "map": [ranking_metrics.average_precision(relevant) for relevant in ranked],
        "r_precision": [ranking_metrics.r_precision(relevant) for relevant in ranked],
        "ndcg_at_10": [ranking_metrics.ndcg(relevant) for relevant in ranked],
        "first_right": [float(_is_first_right(*pair, threshold)) for pair in pairs if any(pair[0].relevant)],
        "silent": [
            float(not served_scores)
            for query, served_scores in zip(queries, served, strict=True)
            if not any(query.relevant)
        ],
    }
    metrics: dict[str, Any] = {}
    for name, values in means.items():
        if values:
            metrics |= {name: round(sum(values) / len(values), 4), f"{name}_interval": mean_interval(values)}
    answered = sum(any(query.relevant) for query in queries)
    return metrics | {
        "set": _set_metrics(queries, scores, threshold),
        "queries": len(queries),
        "queries_without_answer": len(queries) - answered,
    }


def _is_first_right(query: EvaluationQuery, scores: Sequence[float], threshold: float) -> bool:
    """True if the best sentence is served and relevant."""
    best = ranking_metrics.order(scores)[0]
    return scores[best] >= threshold and query.relevant[best]


def _set_metrics(
    queries: Sequence[EvaluationQuery], scores: Sequence[Sequence[float]], threshold: float
) -> dict[str, Any]:
    counts = [
        ranking_metrics.set_counts(query_scores, query.relevant, threshold)
        for query, query_scores in zip(queries, scores, strict=True)
    ]
    return figures(counts) | {"threshold": round(threshold, 4)}


def _calibration(
    queries: Sequence[EvaluationQuery], scores: Sequence[Sequence[float]], threshold: float
) -> dict[str, object]:
    """Calibration of the served sentences: those below the threshold have no stored probability."""
    served = [
        (score, is_relevant)
        for query, query_scores in zip(queries, scores, strict=True)
        for score, is_relevant in zip(query_scores, query.relevant, strict=True)
        if score >= threshold
    ]
    return calibration_error.figures([score for score, _ in served], [hit for _, hit in served])


def _best_threshold(queries: Sequence[EvaluationQuery], scores: Sequence[Sequence[float]]) -> float:
    return ranking_metrics.best_threshold(scores, [query.relevant for query in queries])


def _scores(query: EvaluationQuery, answer: Answer | None) -> list[float]:
    """A score for each sentence; 0 for those without one, and for all if the job failed."""
    passages = answer.passages if isinstance(answer, SearchAnswer) else ()
    score = {(passage.start, passage.end): passage.score for passage in passages}
    return [score.get((sentence.start, sentence.end), 0.0) for sentence in query.sentences]


def _case(query: EvaluationQuery, scores: Sequence[float], threshold: float) -> Case:
    relevant, served = [], []
    for span, hit, score in zip(query.sentences, query.relevant, scores, strict=True):
        is_served = score >= threshold
        if hit:
            relevant.append(Highlight(span.start, span.end, "relevant", is_served))
        if is_served:
            served.append(Highlight(span.start, span.end, f"{score:.2f}", hit))
    return Case(
        title=f"{query.query} · {query.id}",
        gold=Side(query.text, tuple(relevant)),
        predicted=Side(query.text, tuple(served)),
        errors=sum(not highlight.is_right for highlight in (*relevant, *served)),
    )
