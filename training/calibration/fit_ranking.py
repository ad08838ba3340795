"""Fits the ranking model of search, two logistic regressions over sentence features, and the negation model.

Queries come from `training.evaluation.records.evaluation_queries`, and from the sections of notes: their
headings are the queries.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from models.errors import UsageError
from models.settings import Settings
from training.calibration.fit_negation import fit_negation
from training.calibration.logistic_regression import Floats, logistic, sigmoid
from training.evaluation.metrics import ranking_metrics
from training.evaluation.records.evaluation_data import Record, file_of, read_records
from training.evaluation.records.evaluation_queries import EvaluationQuery, evaluation_queries
from training.examples.section_examples import notes_of_parts, section_examples
from training.examples.task_examples import Example, search_examples
from worker.engine.api import Engine, Reply, Request
from worker.engine_factory import load
from worker.note.parsed_note import Note
from worker.note.sentence_splitter import sentences
from worker.search.search_task import sentence_features, sentence_signals
from worker.weights.ranking_model import RankingModel, RankingWeights, SentenceFeatures
from worker.weights.task_config import TaskConfig, task_config

_WINDOW_CHARACTERS = 1_300
_NOTES_OF_PARTS = 25
_THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
_TOPIC_FEATURES = ("bias", "wordless", "decision", "words", "embedding_similarity", "section", "elsewhere")
_INTENT_FEATURES = ("bias", "decision", "words", "section", "elsewhere", "intent_score")
"""The features of each regression."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class QueryFeatures:
    """The sentences of one query: their features, and which of them answer."""

    features: Floats
    """Features, shape [sentences, features]."""
    relevant: tuple[bool, ...]
    has_intent: bool


def fit_ranking(
    adapter: Path, data: Sequence[Path], settings: Settings, limit: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Fits both models; returns the ranking weights and their metrics on the fitting data.

    Writes `search_join` (ranking) into the adapter's notemill.json, and `denial_join` (negation) where
    records annotate negation. Uses at most `limit` queries of each data set. Raises UsageError where a kind
    of query is missing.
    """
    served = adapter / "notemill.json"
    if not served.is_file():
        raise UsageError(f"{adapter} holds no notemill.json: name the folder of `train finetune`")
    settings = settings.model_copy(update={"adapter": str(adapter)})
    queries = {path.parent.name: sampled_queries(path, limit) for path in map(file_of, data)}
    features_by_set: dict[str, list[QueryFeatures]] = {}
    engine = load(settings)
    try:
        for name, queries_of_set in queries.items():
            say(f"{name}: {len(queries_of_set)} queries")
            features_by_set[name] = _features_of_queries(
                queries_of_set, engine, _with_all_features(task_config(settings)), settings.worker_threads
            )
        negation_model = fit_negation(
            [record for path in data for record in read_records(file_of(path))], engine, task_config(settings)
        )
    finally:
        engine.close()
    model = fit([query for features in features_by_set.values() for query in features])
    stored = json.loads(served.read_text("utf-8")) | {"search_join": model.stored()}
    if negation_model is not None:
        stored["denial_join"] = negation_model._asdict()
    served.write_text(json.dumps(stored, indent=1) + "\n", "utf-8")
    metrics = {name: fitting_metrics(features, model) for name, features in features_by_set.items()}
    return model.stored() | {"dev": metrics}


def sampled_queries(path: Path, limit: int) -> list[EvaluationQuery]:
    """At most `limit` queries of a data set, the same each time; the format of its records decides how."""
    records, rng = read_records(path), random.Random(5)
    first = records[0]
    if "note" in first:
        queries = _queries_from_examples(
            section_examples([record["note"] for record in records], _WINDOW_CHARACTERS, rng, headings=1.0)
        )
    elif "section_text" in first:
        notes = notes_of_parts(records, _NOTES_OF_PARTS, rng)
        queries = _queries_from_examples(section_examples(notes, _WINDOW_CHARACTERS, rng, headings=1.0))
    elif "entities" in first and not any("concept" in entity for entity in first["entities"]):
        queries = _queries_from_examples(_concept_examples(records, path, rng))
    else:
        queries = evaluation_queries(records, path)
    rng.shuffle(queries)
    return queries[:limit]


def fit(query_features: Sequence[QueryFeatures]) -> RankingModel:
    """Fits both regressions. Raises UsageError where no query names a thing, or none has an intent."""
    topic_queries = [query for query in query_features if not query.has_intent]
    intent_queries = [query for query in query_features if query.has_intent]
    if not topic_queries or not intent_queries:
        raise UsageError(
            f"{len(topic_queries)} queries name a thing and {len(intent_queries)} ask for an aspect:"
            " give data with both, such as ncbi_disease and aci_bench"
        )
    model = RankingModel(
        topic_weights=_regression(topic_queries, _TOPIC_FEATURES),
        intent_weights=_regression(intent_queries, _INTENT_FEATURES),
    )
    best = max(_THRESHOLDS, key=lambda threshold: _set_f1(query_features, model, threshold))
    return RankingModel(model.topic_weights, model.intent_weights, model.min_similarity, best)


def fitting_metrics(query_features: Sequence[QueryFeatures], model: RankingModel) -> dict[str, float]:
    """Metrics on the fitting data: a lower bound of the error, not for publication."""
    ranked = [
        [query.relevant[index] for index in ranking_metrics.order(list(_scores(query, model)))]
        for query in query_features
        if any(query.relevant)
    ]
    means = [ranking_metrics.average_precision(relevant) for relevant in ranked]
    return {
        "queries": len(query_features),
        "map": round(sum(means) / max(1, len(means)), 4),
        "set_f1": round(_set_f1(query_features, model, model.threshold), 4),
    }


def _queries_from_examples(examples: Sequence[Example]) -> list[EvaluationQuery]:
    return [
        EvaluationQuery(
            "", example.request.copy, example.query, sentences(example.request.copy), example.is_relevant
        )
        for example in examples
        if example.is_relevant
    ]


def _concept_examples(records: Sequence[Record], path: Path, rng: random.Random) -> list[Example]:
    return search_examples(path.parent.name, records, _WINDOW_CHARACTERS, rng)


def _with_all_features(config: TaskConfig) -> TaskConfig:
    """The configuration as served, with every feature computed."""
    return replace(config, ranking_model=RankingModel(intent_weights=RankingWeights()))


def _features_of_queries(
    queries: Sequence[EvaluationQuery], engine: Engine, config: TaskConfig, threads: int
) -> list[QueryFeatures]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda query: _query_features(query, engine, config), queries))


def _query_features(query: EvaluationQuery, engine: Engine, config: TaskConfig) -> QueryFeatures:
    note = Note.of(query.text, engine.count_tokens, config.window_tokens, config.summary_window_tokens)
    log_odds, signals = _run_with_engine(sentence_signals(note, query.query, config), engine)
    rows = sentence_features(note, query.query, log_odds, signals)
    spans = [(sentence.start, sentence.end) for sentence in query.sentences]
    relevant = dict(zip(spans, query.relevant, strict=True))
    return QueryFeatures(
        np.array([features for _, features in rows], dtype=np.float64).reshape(
            -1, len(SentenceFeatures._fields)
        ),
        tuple(relevant.get((span.start, span.end), False) for span, _ in rows),
        has_intent=signals.intent_scores is not None,
    )


def _run_with_engine(coroutine: Generator[Sequence[Request], list[Reply], _Value], engine: Engine) -> _Value:
    """Answers a coroutine's requests until it ends; returns its value."""
    try:
        requests = next(coroutine)
        while True:
            requests = coroutine.send(engine.answer(requests))
    except StopIteration as stop:
        value: _Value = stop.value
        return value


def _regression(query_features: Sequence[QueryFeatures], names: Sequence[str]) -> RankingWeights:
    columns = [SentenceFeatures._fields.index(name) for name in names]
    features = np.concatenate([query.features[:, columns] for query in query_features])
    targets = np.concatenate([np.array(query.relevant, dtype=np.float64) for query in query_features])
    weights = logistic(features, targets)
    rounded = {name: round(float(weight), 3) for name, weight in zip(names, weights, strict=True)}
    return RankingWeights(**({"decision": 0.0} | rounded))


def _scores(query: QueryFeatures, model: RankingModel) -> Floats:
    weights = (
        model.intent_weights if query.has_intent and model.intent_weights is not None else model.topic_weights
    )
    return sigmoid(query.features @ np.array(weights))


def _set_f1(query_features: Sequence[QueryFeatures], model: RankingModel, threshold: float) -> float:
    """Set F1 over all sentences of all queries, as `train evaluate` counts."""
    selected = np.concatenate([_scores(query, model) >= threshold for query in query_features])
    relevant = np.concatenate([np.array(query.relevant) for query in query_features])
    return float(2 * (selected & relevant).sum() / max(1, selected.sum() + relevant.sum()))
