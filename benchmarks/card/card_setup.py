"""The device and what several parts share: the memory budget, measured peaks and random weights.

Keeps weights but no caches: each part gets a model with empty caches.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from benchmarks.card.figure_format import four_digits
from benchmarks.card.limited_memory import bytes_in_use, release_cached_memory
from benchmarks.card.random_mistral import WeightForm, random_networks, short_tokenizer
from benchmarks.card.run_sizes import RunSizes
from benchmarks.machine.engine_steps import BenchmarkModel
from benchmarks.machine.machine_peaks import TimedProbe, best_median
from benchmarks.machine.tensor_bytes import stored_bytes
from benchmarks.machine.token_counts import note_of_length
from models.answers import Task
from models.labels import load_labels
from models.settings import Settings
from worker.engine.batching.scheduler import MAX_FORWARD_TOKENS
from worker.engine.batching.sequences import ForwardBatch
from worker.engine.memory.memory_plan import GIB, MemoryPlan, plan_on_cuda
from worker.engine.memory.model_shape import ModelShape
from worker.engine.network.model_loader import AdaptableNetwork
from worker.engine.network.model_runner import TransformersRunner
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.grammar import GrammarCompiler
from worker.weights.task_config import TaskConfig, task_config

BUDGET_BYTES = 8 * GIB


@dataclass
class Card:
    """The benchmarked GPU, or the CPU with --shape small."""

    device: torch.device
    settings: Settings
    sizes: RunSizes
    bytes_before: int
    """Memory in use on the GPU before this process created a CUDA context."""
    peaks: list[TimedProbe] = field(default_factory=list)
    copies: list[TimedProbe] = field(default_factory=list)
    weights: dict[WeightForm, AdaptableNetwork] = field(default_factory=dict)
    _layer_bytes: dict[WeightForm, int] = field(default_factory=dict)
    """Recorded when the weights are made: on a CPU bitsandbytes repacks them at their first use."""

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def shape(self) -> ModelShape:
        return ModelShape.of(self.sizes.config)

    @property
    def config(self) -> TaskConfig:
        """The scoring task configuration, also when the settings' weights have no adapter."""
        config = task_config(self.settings)
        if config.tagged_labels:
            return config
        names = tuple(label.name for label in load_labels(self.settings.labels_file))
        tasks = frozenset((Task.ENTITIES, Task.SEARCH))
        return replace(config, tagged_labels=names, adapter_tasks=tasks, is_summary_extractive=True)

    @cached_property
    def _tokenizer(self) -> Any:
        return short_tokenizer(self.settings, self.shape.vocabulary)

    @cached_property
    def _grammars(self) -> GrammarCompiler:
        return GrammarCompiler(self._tokenizer, self.shape.vocabulary)

    def network(self, form: WeightForm, *, max_tokens: int | None = None) -> BenchmarkModel:
        """The weights, made once, with a runner whose caches are empty.

        `max_tokens`: limit of cached tokens; by default that of the run sizes.
        """
        if form not in self.weights:
            self.weights[form] = made = random_networks(self.sizes.config, form, self.device)
            self._layer_bytes[form] = stored_bytes(made.plain.model.layers)
        release_cached_memory()
        token_limit = max_tokens or self.sizes.cached_tokens
        return BenchmarkModel(
            TransformersRunner(self.weights[form], self.device, max_tokens=token_limit),
            Chat(self._tokenizer),
            self._grammars,
            self.shape,
            self.device,
            self._layer_bytes[form],
        )

    def drop_weights(self, *forms: WeightForm) -> None:
        for form in forms:
            self.weights.pop(form, None)
        release_cached_memory()

    def texts(self, network: BenchmarkModel, number: int) -> list[str]:
        """`number` notes of different lengths, so that no two share a prefix."""
        sizes = range(self.sizes.note_tokens, self.sizes.note_tokens + number)
        return [note_of_length(network.chat, size, number=index) for index, size in enumerate(sizes)]

    def plan(self) -> MemoryPlan:
        """The memory plan for 8 GiB without an adapter."""
        return plan_on_cuda(
            self.shape,
            is_quantized=True,
            adapter=None,
            budget_bytes=BUDGET_BYTES,
            step_tokens=MAX_FORWARD_TOKENS,
            rows=32,
        )

    def context_bytes(self) -> int:
        """GPU memory of this process outside torch's allocator; includes changes by other processes."""
        # Measured with the same tool as `bytes_before`: torch's own count includes the driver's reserve.
        now = bytes_in_use(is_without_context=True) or bytes_in_use()
        return now - self.bytes_before - torch.cuda.memory_reserved()

    def timed(self, run: Callable[[], Any]) -> TimedProbe:
        """Runs to warm up, twice on a GPU, then times the rounds of the run sizes."""
        probe = TimedProbe("", 1.0, run)
        for _ in range(2 if self.is_cuda else 1):
            probe.time(self.device)
        probe.seconds.clear()
        for _ in range(self.sizes.rounds):
            probe.time(self.device)
        return probe

    def milliseconds(self, run: Callable[[], Any]) -> float:
        return four_digits(statistics.median(self.timed(run).seconds) * 1e3)

    def roofline_figures(self, network: BenchmarkModel, batch: ForwardBatch) -> dict[str, float]:
        """Time and rate of a batch, with fractions of the measured peaks if the part `limits` has run."""
        seconds = statistics.median(self.timed(lambda: network.runner.run(batch)).seconds)
        figures = {"ms": four_digits(seconds * 1e3), "tokens_per_second": round(batch.num_tokens / seconds)}
        if self.peaks:
            flops, num_bytes = network.batch_flops(batch), network.batch_bytes(batch)
            allowed = max(flops / best_median(self.peaks), num_bytes / best_median(self.copies))
            figures["of_product"] = four_digits(flops / seconds / best_median(self.peaks))
            figures["of_roof"] = four_digits(allowed / seconds)
        return figures
