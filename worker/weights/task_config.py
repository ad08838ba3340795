"""Task configuration: in which forms a worker answers each task, by its settings and its adapter.

Does not import torch; a producer computes it too, for the recipe.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.answers import Task
from models.labels import Label
from models.settings import Settings
from worker.weights.lexicon import Lexicon
from worker.weights.model_files import WeightsError, adapter_folder
from worker.weights.negation_model import NegationModel
from worker.weights.ranking_model import RankingModel


@dataclass(frozen=True, slots=True)
class TaskConfig:
    """The forms in which one worker answers each task, with the learned models that it uses."""

    adapter_tasks: frozenset[Task]
    """Tasks that the adapter was trained for."""
    tagged_labels: tuple[str, ...]
    """Entity labels that the adapter was trained to tag token by token."""
    is_list_forced: bool
    """Force the generative form (a written list) even if the adapter supports tagging."""
    is_summary_extractive: bool
    """Select sentences and mentions of the note instead of generating text."""
    window_tokens: int
    summary_window_tokens: int
    ranking_model: RankingModel
    lexicon: Lexicon = field(default_factory=Lexicon)
    """Names and words counted in annotated notes; used when entities are tagged."""
    negation_model: NegationModel | None = None
    """Combines the rules for negation with the network; None: the rules decide alone."""
    is_deidentified: bool = False
    """True if prompts hold surrogates instead of identifiers."""

    def are_tagged(self, labels: Sequence[Label]) -> bool:
        """True if entities of exactly these labels are tagged; otherwise they are generated as a list."""
        names = tuple(label.name for label in labels)
        return bool(names) and names == self.tagged_labels and not self.is_list_forced


def task_config(settings: Settings) -> TaskConfig:
    """The task configuration for these settings. Raises WeightsError for an unsupported form."""
    adapter = _adapter(settings)
    trained = _trained_config(adapter)
    tagged = tuple(trained.get("labels", ()))
    _check_http_forms(settings)
    if settings.entities_form == "marks" and not tagged:
        raise WeightsError("NOTEMILL_ENTITIES_FORM is marks, but no adapter that tags entities is set")
    if settings.summary_form == "chosen" and not tagged:
        raise WeightsError("NOTEMILL_SUMMARY_FORM is chosen, but no adapter that tags entities is set")
    return TaskConfig(
        adapter_tasks=frozenset(Task(task) for task in trained.get("tasks", ())),
        tagged_labels=tagged,
        is_list_forced=settings.entities_form == "list",
        is_summary_extractive=bool(tagged) and settings.summary_form != "written",
        window_tokens=settings.window_tokens,
        summary_window_tokens=settings.summary_window_tokens,
        ranking_model=RankingModel.of(trained.get("search_join", {})),
        lexicon=Lexicon.read(adapter),
        negation_model=NegationModel.of(trained.get("denial_join")),
        is_deidentified=settings.engine == "http" and settings.http_deidentified,
    )


def _adapter(settings: Settings) -> Path | None:
    return None if settings.engine == "http" else adapter_folder(settings)


def _check_http_forms(settings: Settings) -> None:
    """Raises WeightsError for forms that need the network in this process."""
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


def _trained_config(adapter: Path | None) -> dict[str, Any]:
    """The adapter's notemill.json: its tasks, labels and fitted models; {} without one."""
    if adapter is None or not (adapter / "notemill.json").is_file():
        return {}
    trained: dict[str, Any] = json.loads((adapter / "notemill.json").read_text("utf-8"))
    return trained
