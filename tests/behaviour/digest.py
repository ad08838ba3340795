"""The behaviour digest: the answer code run over the probe notes with recorded replies, its outputs hashed.

Outputs are the public JSON of answers, numbers rounded to three decimals. Each task's digest also covers the
requests that it makes and the content of the rule tables that it uses, so that an entry which occurs in no
probe counts too.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.answers import Task
from models.jobs import Job, Question, Work
from models.labels import Label, load_labels
from models.outcomes import Finished, Outcome
from tests.behaviour.replay import FOLDER, ReplayEngine
from worker.engine.api import GenerateRequest, RequestError, ScoreRequest
from worker.engine.http import completions
from worker.engine.output_formats import OutputFormatError
from worker.pipeline import process
from worker.weights.lexicon import Lexicon
from worker.weights.negation_model import NegationModel
from worker.weights.ranking_model import RankingModel
from worker.weights.task_config import TaskConfig

ROOT = Path(__file__).parents[2]
PROBES = FOLDER / "probes.jsonl"
ADAPTER = FOLDER / "adapter"
"""The fitted models of an adapter, as far as the probes use them; frozen, whichever adapter is shipped."""
_ENTITIES = ("worker/entities/assertion_triggers.toml", "worker/entities/drug_names.toml")
_FILTER = "worker/entities/false_positives.toml"
_HEADINGS = "worker/note/section_headings.toml"
_SEARCH = ("worker/search/query_intents.toml", "worker/search/synonyms.toml")
TABLES = {
    Task.ENTITIES: (*_ENTITIES, _FILTER, _HEADINGS),
    Task.SEARCH: ("worker/entities/drug_names.toml", _FILTER, _HEADINGS, *_SEARCH),
    Task.SUMMARY: (*_ENTITIES, _FILTER, _HEADINGS),
}
"""Rule tables by the tasks that use them."""
PARTS = (*(task.value for task in Task), "http", "deidentified")
OWN_LABELS = (
    Label(name="symptom", definition="what the patient feels or shows"),
    Label(name="drug", definition="a substance given to treat or prevent"),
)
EXAMPLE_QUERIES = (
    "What medications was the patient sent home on?",
    "signs of infection",
    "high blood pressure",
)
_SUMMARY_WORDS = (120, 30, 60, 250)
_GENERATED_EVERY = 2
"""Every second probe is also answered in the generative forms."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One note of the probe set."""

    id: str
    text: str
    queries: tuple[str, ...]


def probes() -> list[Probe]:
    """The probe set, in the order of the file, then the example notes."""
    items = map(json.loads, PROBES.read_bytes().splitlines())  # those of a str end at U+2028, too
    recorded = [Probe(item["id"], item["text"], tuple(item["queries"])) for item in items]
    paths = sorted((ROOT / "examples" / "notes").glob("*.txt"))
    return [*recorded, *(Probe(path.stem, path.read_bytes().decode(), EXAMPLE_QUERIES) for path in paths)]


def tagging_config() -> TaskConfig:
    """Entities tagged token by token, extractive summaries, fitted search."""
    stored = json.loads((ADAPTER / "notemill.json").read_text("utf-8"))
    return TaskConfig(
        adapter_tasks=frozenset(Task(task) for task in stored["tasks"]),
        tagged_labels=tuple(stored["labels"]),
        is_list_forced=False,
        is_summary_extractive=True,
        window_tokens=350,
        summary_window_tokens=1_500,
        ranking_model=RankingModel.of(stored["search_join"]),
        lexicon=Lexicon.read(ADAPTER),
        negation_model=NegationModel.of(stored["denial_join"]),
    )


def generating_config() -> TaskConfig:
    """Entities as generated lists, abstractive summaries, search without an adapter."""
    return TaskConfig(
        adapter_tasks=frozenset(),
        tagged_labels=(),
        is_list_forced=True,
        is_summary_extractive=False,
        window_tokens=200,
        summary_window_tokens=300,
        ranking_model=RankingModel(),
    )


@dataclass(frozen=True, slots=True)
class Run:
    """One job on one probe."""

    part: str
    """Whose digest it belongs to: a task, or `deidentified`."""
    probe: Probe
    question: Question
    labels: tuple[Label, ...]
    config: TaskConfig


def runs() -> Iterator[Run]:
    """All jobs of the probe set."""
    built_in, tagging, generating = load_labels(None), tagging_config(), generating_config()
    for number, probe in enumerate(probes()):
        entities, summary = (
            Question(task=Task.ENTITIES),
            _summary(_SUMMARY_WORDS[number % len(_SUMMARY_WORDS)]),
        )
        searches = [_search(query) for query in probe.queries]
        is_generated = number % _GENERATED_EVERY == 0
        yield Run(Task.ENTITIES, probe, entities, built_in, tagging)
        yield Run(Task.SUMMARY, probe, summary, (), tagging)
        yield from (Run(Task.SEARCH, probe, search, (), tagging) for search in searches)
        if is_generated:
            yield Run(Task.ENTITIES, probe, entities, OWN_LABELS, generating)
            yield Run(Task.SUMMARY, probe, summary, (), generating)
            yield from (Run(Task.SEARCH, probe, search, (), generating) for search in searches)
        if "identifiers" in probe.id or "letter" in probe.id:
            for config in (replace(tagging, is_deidentified=True), replace(generating, is_deidentified=True)):
                yield Run(
                    "deidentified", probe, entities, built_in if config.tagged_labels else OWN_LABELS, config
                )
                yield Run("deidentified", probe, summary, (), config)
                yield from (Run("deidentified", probe, search, (), config) for search in searches)


def _summary(max_words: int) -> Question:
    return Question(task=Task.SUMMARY, parameters={"max_words": max_words})


def _search(query: str) -> Question:
    return Question(task=Task.SEARCH, parameters={"query": query})


def outputs(engine: ReplayEngine) -> dict[str, list[Any]]:
    """Runs the probe set; returns the outputs by part of the answer code, as JSON values."""
    parts: dict[str, list[Any]] = {}
    requests: list[Any] = []
    for run in runs():
        engine.keys.clear()
        engine.requests.clear()
        job = Job(id=1, question=run.question, recipe_id="0" * 16, labels=run.labels, attempt=1)
        work = Work(document_id=1, text=run.probe.text, jobs=(job,))
        names = ["Jane Quillfeather", "P. Lindqvist"]
        ended = [
            pair
            for batch in process(work, engine=engine, config=run.config, patient_names=names)
            for pair in batch
        ]
        output = [
            run.probe.id,
            run.question.model_dump(mode="json"),
            list(engine.keys),
            _outcome(ended[0][1]),
        ]
        parts.setdefault(str(run.part), []).append(output)
        if run.config.is_list_forced and run.part != "deidentified":
            requests += engine.requests
    parts["http"] = [_http(request, engine) for request in requests]
    return parts


def rule_tables() -> dict[str, Any]:
    """The parsed content of each rule table, by its path."""
    paths = {path for used in TABLES.values() for path in used}
    return {path: tomllib.loads((ROOT / path).read_text("utf-8")) for path in sorted(paths)}


def digests_of(parts: Mapping[str, list[Any]], tables: Mapping[str, Any]) -> dict[str, str]:
    """The digest of each part, 16 hex digits, from its outputs and the rule tables that it uses."""
    digests = {}
    for part in PARTS:
        used = TABLES.get(Task(part), ()) if part in set(Task) else ()
        digests[part] = _sha256([parts[part], [tables[path] for path in sorted(used)]])
    return digests


def digests(engine: ReplayEngine) -> dict[str, str]:
    """Runs the probe set and returns the digest of each part."""
    return digests_of(outputs(engine), rule_tables())


def _sha256(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _outcome(outcome: Outcome) -> Any:
    if isinstance(outcome, Finished):
        stored = outcome.model_dump(mode="json", include={"answer", "ranges_read"})
        return ["finished", _rounded(stored)]
    return ["failed", outcome.reason.value, outcome.detail]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


def _http(request: Any, engine: ReplayEngine) -> Any:
    """Returns the HTTP engine's request body and how it parses a server's reply."""
    if isinstance(request, ScoreRequest):
        words = [sum(word.encode()) for word in request.choices[0].words]
        response = {
            "choices": [{"logprobs": {"top_logprobs": [{f"token_id:{word}": -1.5 for word in words[:2]}]}}]
        }
        return [
            completions.scoring_body([1, 2], words),
            _rounded(completions.parse_log_probabilities(response, words)),
        ]
    if not isinstance(request, GenerateRequest):
        return None
    reply = engine.answer([request])[0]
    bodies = [
        completions.generation_body(
            [1, 2],
            max_tokens=request.max_tokens,
            end_token=2,
            output_format=request.output_format,
            grammar=grammar,
        )
        for grammar in ("lark", "json_schema")
    ]
    if isinstance(reply, RequestError):
        return bodies
    usage = {"prompt_tokens": 2, "completion_tokens": 3}
    finish = "stop" if reply.is_complete else "length"
    answer = {"choices": [{"text": reply.text, "finish_reason": finish}], "usage": usage}
    read = completions.parse_completion(answer)
    try:
        problem = "" if request.output_format is None else request.output_format.check(read.text)
    except OutputFormatError as error:
        problem = str(error)
    return [bodies, read.text, read.is_complete, problem]


def main() -> None:
    """Prints the digests as JSON."""
    from tests.behaviour.replay import Recordings

    print(json.dumps(digests(ReplayEngine(Recordings.read()))))


if __name__ == "__main__":
    main()
