"""The recipe: a fingerprint of everything that can change an answer, computed from files and settings.

Does not import torch, because producers compute it too. The answer code is an ingredient by its behaviour
digest (`worker/behaviour.json`), which tests recompute from recorded replies, so it has no version number.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from models.answers import Task
from models.jobs import Serving
from models.settings import Settings
from worker.engine.prompting.prompt_templates import templates_sha256
from worker.engine.prompting.tokenizer import tokenizer_sha256
from worker.weights.model_files import (
    EMBEDDING_MODEL_SHA256,
    WeightsError,
    adapter_folder,
    adapter_sha256,
    is_int8,
    weights_sha256,
)
from worker.weights.task_config import TaskConfig, task_config

BEHAVIOUR_FILE = Path(__file__).with_name("behaviour.json")
"""The behaviour digest of each part of the answer code on the probe set. Written by `scripts/behaviour`."""
SAME_BEHAVIOUR = {
    "e8ce9c59d79e0a51": "a2cc1486d43713d1",
    "48983c90ced042b8": "2c81ed72ebe20fe4",
    "92bb54cd31f9c7a3": "725ce975ad3a14cc",
    "ac4172fbda8bd3e6": "a2cc1486d43713d1",
    "7148f9af53d266f5": "2c81ed72ebe20fe4",
    "7ccf8da151bd5b9b": "725ce975ad3a14cc",
}
"""Code hashes in the recipes of version 0.1.0, with the behaviour digest of the same answers."""
_TEMPLATES = {
    Task.ENTITIES: ("entities_marks", "entities_list_instruction", "entities_list"),
    Task.SEARCH: ("search", "entities_marks"),
    Task.SUMMARY: ("entities_marks", "summary_section", "summary_title", "summary_part"),
}


def serving(settings: Settings) -> Serving:
    """The ingredients of a worker with these settings. Raises WeightsError if weights are not prepared."""
    config, is_http = task_config(settings), settings.engine == "http"
    ingredients = _server_ingredients(settings) if is_http else _weights_ingredients(settings)
    tasks = {task.value: _task_ingredients(task, config, is_http=is_http) for task in Task}
    return Serving(ingredients=ingredients | {"tasks": tasks})


@cache
def behaviour_digests() -> dict[str, str]:
    """The committed digests: one per task, `http` for requests to a server, `deidentified` for surrogates."""
    behaviour_by_part: dict[str, str] = json.loads(BEHAVIOUR_FILE.read_text("utf-8"))
    return behaviour_by_part


def _weights_ingredients(settings: Settings) -> dict[str, Any]:
    adapter = adapter_folder(settings)
    return {
        "weights": weights_sha256(settings),
        "quantization": settings.quantization,
        "adapter": adapter_sha256(adapter) if adapter else None,
        "adapted_bits": 8 if is_int8(settings) else 16,
    }


def _server_ingredients(settings: Settings) -> dict[str, Any]:
    """The ingredients of weights on a server: the name under which the server serves them.

    A producer cannot ask the server, and a worker starts only if the server serves that name. The URL is not
    an ingredient, because servers move.
    """
    if not settings.http_model:
        raise WeightsError("NOTEMILL_ENGINE is http: set NOTEMILL_HTTP_MODEL to the name the server serves")
    return {
        "engine": "http",
        "model": settings.http_model,
        "tokenizer": tokenizer_sha256(settings),
        "grammar": settings.http_grammar,
    }


def _task_ingredients(task: Task, config: TaskConfig, *, is_http: bool) -> dict[str, Any]:
    behaviour = behaviour_digests()
    ingredients: dict[str, Any] = {
        "prompts": templates_sha256(*_TEMPLATES[task]),
        "behaviour": behaviour[task.value],
        "window_tokens": config.window_tokens,
        "is_adapted": task in config.adapter_tasks,
    }
    if is_http:
        ingredients["http"] = behaviour["http"]
    if task is Task.ENTITIES:
        tagged_labels = [] if config.is_list_forced else list(config.tagged_labels)
        ingredients["forms"] = {"marks": tagged_labels, "list": "every other set of labels"}
    if task is not Task.SEARCH:
        ingredients["denial_join"] = config.negation_model and config.negation_model._asdict()
    if task is not Task.ENTITIES:
        ingredients["search_join"] = config.ranking_model.stored()
        ingredients["meaning"] = EMBEDDING_MODEL_SHA256 if config.ranking_model.compares_texts else None
    if task is Task.SUMMARY:
        ingredients["form"] = "chosen" if config.is_summary_extractive else "written"
        ingredients["summary_window_tokens"] = config.summary_window_tokens
    if config.is_deidentified:
        ingredients["deidentified"] = behaviour["deidentified"]
    return ingredients


def has_same_answers(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """True if `old` has the code hash of version 0.1.0 whose answers have the behaviour digest of `new`, and
    all other ingredients are equal."""
    old_task, new_task = dict(old.get("task", {})), dict(new.get("task", {}))
    code, behaviour = old_task.pop("code", None), new_task.pop("behaviour", None)
    new_task.pop("http", None)
    old_task.pop("disguise", None)
    is_deidentified = new_task.pop("deidentified", None) is not None
    is_same = {**old, "task": old_task} == {**new, "task": new_task}
    return is_same and not is_deidentified and behaviour is not None and SAME_BEHAVIOUR.get(code) == behaviour
