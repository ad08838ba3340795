"""A task configuration for tests that need no adapter."""

from __future__ import annotations

from models.answers import Task
from worker.weights.ranking_model import RankingModel
from worker.weights.task_config import TaskConfig

CONFIG = TaskConfig(
    adapter_tasks=frozenset({Task.ENTITIES}),
    tagged_labels=("problem", "anatomy"),
    is_list_forced=False,
    is_summary_extractive=True,
    window_tokens=40,
    summary_window_tokens=200,
    ranking_model=RankingModel(),
)
