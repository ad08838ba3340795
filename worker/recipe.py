"""What this worker answers each task with, and the fingerprint of all that can change an answer.

Computed from files and settings, without torch, so that a producer's machine can do it too. Nobody
bumps a version: the code that shapes answers is an ingredient, less its comments and docstrings.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from models.answers import Task
from models.jobs import Serving
from models.labels import Label
from models.settings import Settings
from worker.engine.prompting.prompt_templates import templates_sha256
from worker.engine.prompting.tokenizer import tokenizer_sha256
from worker.engine.weights import (
    WeightsError,
    adapter_folder,
    adapter_sha256,
    is_in_eight_bits,
    weights_sha256,
)
from worker.learned.lexicon import Lexicon
from worker.learned.negation_model import DenialJoin
from worker.learned.ranking_model import MEANING_SHA256, SearchJoin

_SHARED_CODE = (
    *("sentences", "sections", "index_terms", "stems", "chunking", "words", "ranges", "reading"),
    *("pipeline", "note", "chat", "prompts"),
)
_ENTITIES_CODE = (
    "entities",
    "decisions",
    "marks",
    "evidence",
    "lexicon",
    "recurring",
    "pieces",
    "abbreviations",
    "forms",
    "grounding",
    "assertion",
    "denial",
    "attributes",
    "mistaken",
    "medications",
    "linking",
)
_SEARCH_CODE = ("search", "joining", "aspects", "meaning", "likeness", "abbreviations")
_HTTP_CODE = ("http_engine", "completions")
_DISGUISE_CODE = ("disguised", "surrogates", "identifiers", "identifier_rules")
_CODE = {
    Task.ENTITIES: _ENTITIES_CODE,
    # A question about a whole aspect is answered from what is marked, so with all that settles a mark.
    Task.SEARCH: (*_SEARCH_CODE, *_ENTITIES_CODE),
    Task.SUMMARY: (
        *("summary", "chosen", "stated", "dialogue", "written", "checking", "numbers", "listed"),
        *_SEARCH_CODE,
        *_ENTITIES_CODE,
    ),
}
_TEMPLATES = {
    Task.ENTITIES: ("entities_marks", "entities_list_instruction", "entities_list"),
    Task.SEARCH: ("search", "entities_marks"),
    Task.SUMMARY: ("entities_marks", "summary_section", "summary_title", "summary_part"),
}


@dataclass(frozen=True, slots=True)
class Ways:
    """The forms in which one worker answers."""

    adapted_tasks: frozenset[Task]
    """Tasks that the adapter was trained for."""
    marked_labels: tuple[str, ...]
    """Labels that the adapter marks."""
    is_always_listed: bool
    """Entities are written as lists even where they could be marked."""
    is_summary_chosen: bool
    window_tokens: int
    summary_window_tokens: int
    search_join: SearchJoin
    lexicon: Lexicon = field(default_factory=Lexicon)
    """Names that speak for themselves where entities are marked."""
    denial_join: DenialJoin | None = None
    """None: rules alone say what is denied."""
    is_disguised: bool = False
    """The network reads surrogates for what looks like it names somebody."""

    def are_marked(self, labels: Sequence[Label]) -> bool:
        """Whether entities of just these labels are decided by marks; otherwise they are listed."""
        names = tuple(label.name for label in labels)
        return bool(names) and names == self.marked_labels and not self.is_always_listed


def ways(settings: Settings) -> Ways:
    """How a worker with these settings answers. Raises WeightsError for a form its weights do not have."""
    adapter = _adapter(settings)
    trained = _trained(adapter)
    marked = tuple(trained.get("labels", ()))
    _check_http_forms(settings)
    if settings.entities_form == "marks" and not marked:
        raise WeightsError("NOTEMILL_ENTITIES_FORM is marks, but no adapter that marks entities is set")
    if settings.summary_form == "chosen" and not marked:
        raise WeightsError("NOTEMILL_SUMMARY_FORM is chosen, but no adapter that marks entities is set")
    return Ways(
        adapted_tasks=frozenset(Task(task) for task in trained.get("tasks", ())),
        marked_labels=marked,
        is_always_listed=settings.entities_form == "list",
        is_summary_chosen=bool(marked) and settings.summary_form != "written",
        window_tokens=settings.window_tokens,
        summary_window_tokens=settings.summary_window_tokens,
        search_join=SearchJoin.of(trained.get("search_join", {})),
        lexicon=Lexicon.read(adapter),
        denial_join=DenialJoin.of(trained.get("denial_join")),
        is_disguised=settings.engine == "http" and settings.http_deidentified,
    )


def serving(settings: Settings) -> Serving:
    """What a worker with these settings is made of. Raises WeightsError where weights are not prepared."""
    how = ways(settings)
    engine, code = (
        (_of_server(settings), _HTTP_CODE) if settings.engine == "http" else (_of_weights(settings), ())
    )
    return Serving(ingredients=engine | {"tasks": {task.value: _of_task(task, how, code) for task in Task}})


def _of_weights(settings: Settings) -> dict[str, Any]:
    adapter = adapter_folder(settings)
    return {
        "weights": weights_sha256(settings),
        "quantization": settings.quantization,
        "adapter": adapter_sha256(adapter) if adapter else None,
        "adapted_bits": 8 if is_in_eight_bits(settings) else 16,
    }


def _of_server(settings: Settings) -> dict[str, Any]:
    """A producer has no server at hand, so weights elsewhere are known by the name they are served under.

    A worker starts only where that name is served; the URL is not part of it, servers may move.
    """
    if not settings.http_model:
        raise WeightsError("NOTEMILL_ENGINE is http: set NOTEMILL_HTTP_MODEL to the name the server serves")
    return {
        "engine": "http",
        "model": settings.http_model,
        "tokenizer": tokenizer_sha256(settings),
        "grammar": settings.http_grammar,
    }


def _adapter(settings: Settings) -> Path | None:
    return None if settings.engine == "http" else adapter_folder(settings)


def _check_http_forms(settings: Settings) -> None:
    """Raises WeightsError for what needs the network in this process."""
    if settings.engine != "http":
        return
    for name, value, others in (
        ("ENTITIES_FORM", settings.entities_form, ("auto", "list")),
        ("SUMMARY_FORM", settings.summary_form, ("auto", "written")),
        ("ADAPTER", settings.adapter, ("auto", "none")),
    ):
        if value not in others:
            raise WeightsError(
                f"NOTEMILL_{name} is {value}, which NOTEMILL_ENGINE=http cannot do:"
                f" set NOTEMILL_{name}={others[1]}, or NOTEMILL_ENGINE=transformers"
            )


def _of_task(task: Task, how: Ways, engine_code: tuple[str, ...]) -> dict[str, Any]:
    ingredients: dict[str, Any] = {
        "prompts": templates_sha256(*_TEMPLATES[task]),
        "code": _code_sha256((*_SHARED_CODE, *_CODE[task], *engine_code)),
        "window_tokens": how.window_tokens,
        "is_adapted": task in how.adapted_tasks,
    }
    if task is Task.ENTITIES:
        marked = [] if how.is_always_listed else list(how.marked_labels)
        ingredients["forms"] = {"marks": marked, "list": "every other set of labels"}
    if task is not Task.SEARCH:
        ingredients["denial_join"] = how.denial_join and how.denial_join._asdict()
    if task is not Task.ENTITIES:
        ingredients["search_join"] = how.search_join.stored()
        ingredients["meaning"] = MEANING_SHA256 if how.search_join.is_comparing else None
    if task is Task.SUMMARY:
        ingredients["form"] = "chosen" if how.is_summary_chosen else "written"
        ingredients["summary_window_tokens"] = how.summary_window_tokens
    if how.is_disguised:
        ingredients["disguise"] = _code_sha256(_DISGUISE_CODE)
    return ingredients


def _trained(adapter: Path | None) -> dict[str, Any]:
    """What the adapter's own note says it was trained for; nothing where it has none."""
    if adapter is None or not (adapter / "notemill.json").is_file():
        return {}
    trained: dict[str, Any] = json.loads((adapter / "notemill.json").read_text("utf-8"))
    return trained


@cache
def _code_sha256(modules: tuple[str, ...]) -> str:
    """Over the modules' syntax trees without docstrings, and the data files beside them."""
    whole = hashlib.sha256()
    folder = Path(__file__).parent
    for module in modules:
        whole.update(_bare(folder / f"{module}.py").encode())
    for path in sorted(folder.glob("*.toml")):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def _bare(path: Path) -> str:
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [
                one for one in body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
            ]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)
