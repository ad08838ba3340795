"""The engine's own steps, made by its scheduler of its own requests, and what each must compute and read.

Reading: the first step of notes whose windows are decided on or asked to be written about. Writing: the
step that gives each of so many branches one token more. Every step may be run again and again: the network
puts the same keys and values in the same places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import AutoTokenizer

from benchmarks.comparison.workload import QUERY, generation_prompts
from models.labels import load_labels
from models.settings import Settings
from worker.engine.api import GenerateRequest, Request
from worker.engine.batching.request_state import RequestState, encode_request
from worker.engine.batching.scheduler import Scheduler
from worker.engine.batching.sequences import Continuation, ForwardBatch, Prefix, ScheduledChunk
from worker.engine.memory.footprint import BF16, is_outer_layer, keys_values_bytes
from worker.engine.memory.malloc import keep_freed_memory
from worker.engine.memory.model_shape import ModelShape, shape_of_folder
from worker.engine.network.linear import PackedLinear
from worker.engine.network.model_loader import load_network
from worker.engine.network.model_runner import TransformersRunner
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.grammar import GrammarCompiler
from worker.entities.entity_task import list_request
from worker.entities.window_tagging import reading_requests
from worker.note.parsed_note import Note
from worker.search.search_task import search_requests
from worker.telemetry.usage_meter import UsageMeter
from worker.weights.model_files import is_int8, prepared_folder
from worker.weights.task_config import task_config

NO_LIMIT = 1_000_000
"""Cached tokens that the scheduler may plan with: memory is not what is measured."""
SEQUENCES_PER_PREFIX = 4
"""Lists of one window, an answer a label."""


@dataclass(frozen=True, slots=True)
class BenchmarkModel:
    """The loaded network as far as its steps need it."""

    runner: TransformersRunner
    chat: Chat
    grammars: GrammarCompiler
    shape: ModelShape
    device: torch.device
    layer_bytes: int
    """Of all layers' weights as they lie in memory; the output layer and the embeddings are beside them."""
    is_int8: bool = False
    """Where the adapter takes part."""

    @staticmethod
    def load(settings: Settings) -> BenchmarkModel:
        """As worker.engine.network.local_engine does, without the thread. Raises NotemillError."""
        is_cuda = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
        device = torch.device("cuda" if is_cuda else "cpu")
        if not is_cuda:
            keep_freed_memory()
        folder = prepared_folder(settings)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        networks = load_network(folder, settings, device)
        runner = TransformersRunner(networks, device)
        return BenchmarkModel(
            runner,
            Chat(tokenizer),
            GrammarCompiler(tokenizer, runner.vocabulary_size),
            shape_of_folder(folder),
            device,
            _bytes_of_layers(networks.plain.model.layers),
            is_int8=not is_cuda and is_int8(settings),
        )

    def batch_flops(self, batch: ForwardBatch) -> float:
        """2 a weight and token, 4 x heads x size a layer and key that a token sees, 2 a logit and input.

        The usual count of a forward pass (Kaplan et al. 2020, arXiv 2001.08361, table 1), with causal
        attention counted by the keys really seen: a product for the scores, one for the values. Of the last
        layer what is computed: attention of branches, and what follows it for the tokens asked about.
        """
        shape = self.shape
        products = sum(_products(shape, batch))
        seen = [
            (shape.layers - isinstance(chunk.sequence, Prefix)) * _keys_seen(chunk) for chunk in batch.chunks
        ]
        attention = 4 * shape.heads * shape.head_size * sum(seen)
        logits = sum(_num_logits(chunk, shape.vocabulary) for chunk in batch.chunks)
        return 2.0 * products + attention + 2.0 * shape.hidden * logits

    def int8_flops(self, batch: ForwardBatch) -> float:
        """Those made in 8 bits: of an adapted step on a CPU all products of weights but the outer downs."""
        if not self.is_int8 or not all(chunk.uses_adapter for chunk in batch.chunks):
            return 0.0
        inner = sum(not is_outer_layer(number, self.shape.layers) for number in range(self.shape.layers))
        downs = inner * math.prod(self.shape.linear_layers[-1]) * batch.num_tokens
        return 2.0 * (sum(_products(self.shape, batch)[:-1]) + downs)

    def batch_bytes(self, batch: ForwardBatch) -> float:
        """The least that has to be read: weights once, each beginning's and branch's keys and values once."""
        beginnings = {one for continuation in batch.continuations for one in continuation.prefixes}
        cached = sum(len(one.tokens) for one in beginnings)
        cached += sum(chunk.stop for chunk in batch.chunks if isinstance(chunk.sequence, Continuation))
        output_layer = BF16 * self.shape.vocabulary * self.shape.hidden
        return self.layer_bytes + output_layer + cached * keys_values_bytes(self.shape)

    def scoring_batch(self, texts: Sequence[str], settings: Settings) -> ForwardBatch:
        """The first step of these notes: entities marked and one search decided on each window."""
        config = task_config(settings)
        if not config.tagged_labels:  # weights without an adapter are timed on the same work
            names = tuple(label.name for label in load_labels(settings.labels_file))
            config = replace(config, tagged_labels=names)
        notes = [
            Note.of(one, self.count_tokens, config.window_tokens, config.summary_window_tokens)
            for one in texts
        ]
        return self._first_step(
            [[*reading_requests(one, config), *search_requests(one, QUERY, config)] for one in notes],
            settings,
        )

    def generation_batch(self, texts: Sequence[str], settings: Settings) -> ForwardBatch:
        """The first step of these notes where all three tasks are written: windows and questions read."""
        work = generation_prompts(texts, self.chat, settings)
        calls = [
            [one.request for one in work if one.note == note and one.request] for note in range(len(texts))
        ]
        return self._first_step(calls, settings)

    def decode_batch(self, texts: Sequence[str], num_branches: int, settings: Settings) -> ForwardBatch:
        """One token more for each of so many lists, four of each text, over the text's keys and values."""
        labels = load_labels(settings.labels_file)[:SEQUENCES_PER_PREFIX]
        requests = [list_request(text, label) for text in texts for label in labels][:num_branches]
        asked = self._asked(requests)
        if len(asked) < num_branches:
            raise ValueError(f"{len(texts)} texts ask for {len(asked)} lists, not for {num_branches}")
        scheduler = Scheduler(max_rows=num_branches, max_tokens=NO_LIMIT)
        scheduler.add([one.start(scheduler.prefix_cache) for one in asked])
        while True:
            batch = scheduler.schedule()
            if len(batch.continuations) == num_branches and batch.num_tokens == num_branches:
                return batch
            _go_on(batch)

    def count_tokens(self, text: str) -> int:
        return len(self.chat.plain(text))

    def _first_step(self, calls: Sequence[Sequence[Request]], settings: Settings) -> ForwardBatch:
        scheduler = Scheduler(max_rows=settings.max_batch_rows, max_tokens=NO_LIMIT)
        for requests in calls:
            scheduler.add([one.start(scheduler.prefix_cache) for one in self._asked(requests)])
        return scheduler.schedule()

    def _asked(self, requests: Sequence[Any]) -> list[RequestState]:
        # Without their forms: grammars are compiled beside the network's pass and are no part of it.
        free = [
            replace(one, output_format=None) if isinstance(one, GenerateRequest) else one for one in requests
        ]
        limit, meter = self.runner.context_tokens, UsageMeter()
        found = [
            encode_request(one, self.chat, self.grammars, context_tokens=limit, meter=meter) for one in free
        ]
        return [one for one in found if isinstance(one, RequestState)]


def _go_on(batch: ForwardBatch) -> None:
    """As after a pass whose every answer is the token before: which token it is does not change the time."""
    for chunk in batch.chunks:
        chunk.sequence.num_computed_tokens = chunk.stop
    for continuation in batch.continuations:
        continuation.tokens.append(continuation.tokens[-1])
        continuation.logit_indexes = (len(continuation.tokens) - 1,)


def _products(shape: ModelShape, batch: ForwardBatch) -> list[int]:
    """Numbers multiplied with each kind of weight, all layers; of the last what is computed."""
    unasked = batch.num_tokens - sum(map(_num_wanted, batch.chunks))
    sizes = [inputs * outputs for inputs, outputs in shape.linear_layers]
    whole = [shape.layers * size * batch.num_tokens for size in sizes]
    return [*whole[:3], *(one - size * unasked for one, size in zip(whole[3:], sizes[3:], strict=True))]


def _keys_seen(chunk: ScheduledChunk) -> int:
    before = 0 if isinstance(chunk.sequence, Prefix) else chunk.sequence.num_prefix_tokens
    return sum(range(before + chunk.start + 1, before + chunk.stop + 1))


def _num_wanted(chunk: ScheduledChunk) -> int:
    if isinstance(chunk.sequence, Prefix):
        return 0
    return sum(chunk.start <= place < chunk.stop for place in chunk.sequence.logit_indexes)


def _num_logits(chunk: ScheduledChunk, vocabulary: int) -> int:
    if isinstance(chunk.sequence, Prefix):
        return 0
    return _num_wanted(chunk) * (len(chunk.sequence.columns) or vocabulary)


def _bytes_of_layers(layers: Any) -> int:
    """Parameters, and the weights that were laid out for the processor, which are none."""
    laid_out = sum(one.nbytes for one in layers.modules() if isinstance(one, PackedLinear))
    return laid_out + sum(one.nbytes for one in layers.parameters())
