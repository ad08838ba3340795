"""Fits the ranking model of search: two logistic regressions over sentence features; the negation model too.

Queries come from `training.evaluation.records.evaluation_queries`, and from sections of notes, asked for by
their headings.
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
from training.evaluation.records.evaluation_queries import EvaluationQuery, queries_of
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

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class QueryFeatures:
    """The sentences of one query: their features, and which of them answer."""

    features: Floats
    """Features, shape [sentences, features]."""
    relevant: tuple[bool, ...]
    has_intent: bool


def join(
    adapter: Path, data: Sequence[Path], settings: Settings, limit: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Writes `search_join` into the adapter's notemill.json; returns the weights and how good they are there.
    And `denial_join`, where records say which of their mentions are denied.

    At most `limit` queries of each data set. Raises UsageError where a kind of query is missing.
    """
    served = adapter / "notemill.json"
    if not served.is_file():
        raise UsageError(f"{adapter} holds no notemill.json: name the folder of `train finetune`")
    settings = settings.model_copy(update={"adapter": str(adapter)})
    asked = {path.parent.name: asked_of(path, limit) for path in map(file_of, data)}
    queried: dict[str, list[QueryFeatures]] = {}
    engine = load(settings)
    try:
        for name, some in asked.items():
            say(f"{name}: {len(some)} queries")
            queried[name] = _queried(
                some, engine, _with_all_features(task_config(settings)), settings.worker_threads
            )
        denials = fit_negation(
            [one for path in data for one in read_records(file_of(path))], engine, task_config(settings)
        )
    finally:
        engine.close()
    found = fit([one for some in queried.values() for one in some])
    stored = json.loads(served.read_text("utf-8")) | {"search_join": found.stored()}
    if denials is not None:
        stored["denial_join"] = denials._asdict()
    served.write_text(json.dumps(stored, indent=1) + "\n", "utf-8")
    return found.stored() | {"dev": {name: measured(some, found) for name, some in queried.items()}}


def asked_of(path: Path, limit: int) -> list[EvaluationQuery]:
    """The queries of a data set in the form of its records; sampled, the same each time."""
    records, chance = read_records(path), random.Random(5)
    first = records[0]
    if "note" in first:
        asked = _made(
            section_examples([one["note"] for one in records], _WINDOW_CHARACTERS, chance, headings=1.0)
        )
    elif "section_text" in first:
        notes = notes_of_parts(records, _NOTES_OF_PARTS, chance)
        asked = _made(section_examples(notes, _WINDOW_CHARACTERS, chance, headings=1.0))
    elif "entities" in first and not any("concept" in one for one in first["entities"]):
        asked = _made(_of_kinds(records, path, chance))
    else:
        asked = queries_of(records, path)
    chance.shuffle(asked)
    return asked[:limit]


def fit(queried: Sequence[QueryFeatures]) -> RankingModel:
    """Fits both regressions. Raises UsageError where no query names a thing, or none has an intent."""
    things = [one for one in queried if not one.has_intent]
    aspects = [one for one in queried if one.has_intent]
    if not things or not aspects:
        raise UsageError(
            f"{len(things)} queries name a thing and {len(aspects)} ask for an aspect: give data with both,"
            " such as ncbi_disease and aci_bench"
        )
    found = RankingModel(
        topic_weights=_regression(things, _TOPIC_FEATURES),
        intent_weights=_regression(aspects, _INTENT_FEATURES),
    )
    best = max(_THRESHOLDS, key=lambda one: _set_f1(queried, found, one))
    return RankingModel(found.topic_weights, found.intent_weights, found.min_similarity, best)


def measured(queried: Sequence[QueryFeatures], found: RankingModel) -> dict[str, float]:
    """Metrics on the fitting data: a lower bound of the error, not for publication."""
    ranked = [
        [one.relevant[place] for place in ranking_metrics.order(list(_scores(one, found)))]
        for one in queried
        if any(one.relevant)
    ]
    means = [ranking_metrics.average_precision(one) for one in ranked]
    return {
        "queries": len(queried),
        "map": round(sum(means) / max(1, len(means)), 4),
        "set_f1": round(_set_f1(queried, found, found.threshold), 4),
    }


def _made(examples: Sequence[Example]) -> list[EvaluationQuery]:
    return [
        EvaluationQuery("", one.request.copy, one.query, sentences(one.request.copy), one.is_relevant)
        for one in examples
        if one.is_relevant
    ]


def _of_kinds(records: Sequence[Record], path: Path, chance: random.Random) -> list[Example]:
    return search_examples(path.parent.name, records, _WINDOW_CHARACTERS, chance)


def _with_all_features(config: TaskConfig) -> TaskConfig:
    """The configuration as served, with every feature computed."""
    return replace(config, ranking_model=RankingModel(intent_weights=RankingWeights()))


def _queried(
    asked: Sequence[EvaluationQuery], engine: Engine, config: TaskConfig, threads: int
) -> list[QueryFeatures]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda one: _one(one, engine, config), asked))


def _one(asked: EvaluationQuery, engine: Engine, config: TaskConfig) -> QueryFeatures:
    note = Note.of(asked.text, engine.count_tokens, config.window_tokens, config.summary_window_tokens)
    decided, known = _heard(sentence_signals(note, asked.query, config), engine)
    rows = sentence_features(note, asked.query, decided, known)
    relevant = dict(zip(((one.start, one.end) for one in asked.sentences), asked.relevant, strict=True))
    return QueryFeatures(
        np.array([found for _, found in rows], dtype=np.float64).reshape(-1, len(SentenceFeatures._fields)),
        tuple(relevant.get((span.start, span.end), False) for span, _ in rows),
        has_intent=known.intent_scores is not None,
    )


def _heard(talk: Generator[Sequence[Request], list[Reply], _Found], engine: Engine) -> _Found:
    """The value that a coroutine returns."""
    try:
        requests = next(talk)
        while True:
            requests = talk.send(engine.answer(requests))
    except StopIteration as stop:
        found: _Found = stop.value
        return found


def _regression(queried: Sequence[QueryFeatures], names: Sequence[str]) -> RankingWeights:
    columns = [SentenceFeatures._fields.index(name) for name in names]
    given = np.concatenate([one.features[:, columns] for one in queried])
    right = np.concatenate([np.array(one.relevant, dtype=np.float64) for one in queried])
    weights = logistic(given, right)
    rounded = {name: round(float(weight), 3) for name, weight in zip(names, weights, strict=True)}
    return RankingWeights(**({"decision": 0.0} | rounded))


def _scores(one: QueryFeatures, found: RankingModel) -> Floats:
    weights = (
        found.intent_weights if one.has_intent and found.intent_weights is not None else found.topic_weights
    )
    return sigmoid(one.features @ np.array(weights))


def _set_f1(queried: Sequence[QueryFeatures], found: RankingModel, threshold: float) -> float:
    """Set F1 over all sentences of all queries, as `train evaluate` counts."""
    chosen = np.concatenate([_scores(one, found) >= threshold for one in queried])
    right = np.concatenate([np.array(one.relevant) for one in queried])
    return float(2 * (chosen & right).sum() / max(1, chosen.sum() + right.sum()))
