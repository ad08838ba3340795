"""Forward batches of the engine's scheduler, with the operations and bytes that each needs.

Prefill: the first batch of notes whose windows are scored or used for generation. Decode: a batch that adds
one token to each sequence. A batch can run repeatedly, because it writes the same keys and values to the same
places.
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
from worker.entities.window_tagging import tagging_requests
from worker.note.parsed_note import Note
from worker.search.search_task import search_requests
from worker.telemetry.usage_meter import UsageMeter
from worker.weights.model_files import is_int8, prepared_folder
from worker.weights.task_config import task_config

NO_LIMIT = 1_000_000
"""Cached tokens that the scheduler may plan with: memory is not measured here."""
SEQUENCES_PER_PREFIX = 4
"""Entity lists of one window: one answer a label."""


@dataclass(frozen=True, slots=True)
class BenchmarkModel:
    """The loaded network with its tokenizer, without the engine's thread."""

    runner: TransformersRunner
    chat: Chat
    grammars: GrammarCompiler
    shape: ModelShape
    device: torch.device
    layer_bytes: int
    """Weights of all layers in memory, without the output layer and the embeddings."""
    is_int8: bool = False
    """Whether batches that use the adapter are computed in int8."""

    @staticmethod
    def load(settings: Settings) -> BenchmarkModel:
        """Loads as worker.engine.network.local_engine does. Raises NotemillError."""
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
        """FLOP: 2 a weight and token, 4 x heads x head size a layer and visible key, 2 a logit and input.

        The usual count of a forward pass (Kaplan et al. 2020, arXiv 2001.08361, table 1). Causal attention
        counts the visible keys: one product for the scores, one for the values. The last layer computes only
        the attention of continuations, and what follows it only for tokens whose logits are needed.
        """
        shape = self.shape
        products = sum(_products(shape, batch))
        seen = [
            (shape.layers - isinstance(chunk.sequence, Prefix)) * _visible_keys(chunk)
            for chunk in batch.chunks
        ]
        attention = 4 * shape.heads * shape.head_size * sum(seen)
        logits = sum(_num_logits(chunk, shape.vocabulary) for chunk in batch.chunks)
        return 2.0 * products + attention + 2.0 * shape.hidden * logits

    def int8_flops(self, batch: ForwardBatch) -> float:
        """Operations in int8: with the adapter all products of weights but the outer layers' `down_proj`."""
        if not self.is_int8 or not all(chunk.uses_adapter for chunk in batch.chunks):
            return 0.0
        inner = sum(not is_outer_layer(number, self.shape.layers) for number in range(self.shape.layers))
        downs = inner * math.prod(self.shape.linear_layers[-1]) * batch.num_tokens
        return 2.0 * (sum(_products(self.shape, batch)[:-1]) + downs)

    def batch_bytes(self, batch: ForwardBatch) -> float:
        """Bytes at least: the weights once, keys and values of each prefix and continuation once."""
        prefixes = {prefix for continuation in batch.continuations for prefix in continuation.prefixes}
        cached = sum(len(prefix.tokens) for prefix in prefixes)
        cached += sum(chunk.stop for chunk in batch.chunks if isinstance(chunk.sequence, Continuation))
        output_layer = BF16 * self.shape.vocabulary * self.shape.hidden
        return self.layer_bytes + output_layer + cached * keys_values_bytes(self.shape)

    def scoring_batch(self, texts: Sequence[str], settings: Settings) -> ForwardBatch:
        """The first batch of these notes: entity tagging and one search, scored on each window."""
        config = task_config(settings)
        if not config.tagged_labels:  # weights without an adapter are timed on the same requests
            names = tuple(label.name for label in load_labels(settings.labels_file))
            config = replace(config, tagged_labels=names)
        notes = [
            Note.of(text, self.count_tokens, config.window_tokens, config.summary_window_tokens)
            for text in texts
        ]
        return self._first_batch(
            [[*tagging_requests(note, config), *search_requests(note, QUERY, config)] for note in notes],
            settings,
        )

    def generation_batch(self, texts: Sequence[str], settings: Settings) -> ForwardBatch:
        """The first batch of these notes when all three tasks generate: prefill of windows and questions."""
        prompts = generation_prompts(texts, self.chat, settings)
        calls = [
            [prompt.request for prompt in prompts if prompt.note == note and prompt.request]
            for note in range(len(texts))
        ]
        return self._first_batch(calls, settings)

    def decode_batch(self, texts: Sequence[str], num_sequences: int, settings: Settings) -> ForwardBatch:
        """One more token for each of `num_sequences` lists, four of each text, over cached text.

        Raises ValueError when the texts are too few.
        """
        labels = load_labels(settings.labels_file)[:SEQUENCES_PER_PREFIX]
        requests = [list_request(text, label) for text in texts for label in labels][:num_sequences]
        states = self._encode(requests)
        if len(states) < num_sequences:
            raise ValueError(f"{len(texts)} texts make {len(states)} lists, not {num_sequences}")
        scheduler = Scheduler(max_rows=num_sequences, max_tokens=NO_LIMIT)
        scheduler.add([state.start(scheduler.prefix_cache) for state in states])
        while True:
            batch = scheduler.schedule()
            if len(batch.continuations) == num_sequences and batch.num_tokens == num_sequences:
                return batch
            _advance(batch)

    def count_tokens(self, text: str) -> int:
        return len(self.chat.plain(text))

    def _first_batch(self, calls: Sequence[Sequence[Request]], settings: Settings) -> ForwardBatch:
        scheduler = Scheduler(max_rows=settings.max_batch_rows, max_tokens=NO_LIMIT)
        for requests in calls:
            scheduler.add([state.start(scheduler.prefix_cache) for state in self._encode(requests)])
        return scheduler.schedule()

    def _encode(self, requests: Sequence[Any]) -> list[RequestState]:
        # Without output formats: grammars are compiled during the network's pass and are not timed here.
        free = [
            replace(request, output_format=None) if isinstance(request, GenerateRequest) else request
            for request in requests
        ]
        limit, meter = self.runner.context_tokens, UsageMeter()
        encoded = [
            encode_request(request, self.chat, self.grammars, context_tokens=limit, meter=meter)
            for request in free
        ]
        return [state for state in encoded if isinstance(state, RequestState)]


def _advance(batch: ForwardBatch) -> None:
    """Repeats each sequence's last token as its next one: the token's value does not change the time."""
    for chunk in batch.chunks:
        chunk.sequence.num_computed_tokens = chunk.stop
    for continuation in batch.continuations:
        continuation.tokens.append(continuation.tokens[-1])
        continuation.logit_indexes = (len(continuation.tokens) - 1,)


def _products(shape: ModelShape, batch: ForwardBatch) -> list[int]:
    """Multiplications by kind of linear layer, over all layers; the last layer skips unneeded tokens."""
    unneeded = batch.num_tokens - sum(map(_num_logit_tokens, batch.chunks))
    sizes = [inputs * outputs for inputs, outputs in shape.linear_layers]
    whole = [shape.layers * size * batch.num_tokens for size in sizes]
    return [*whole[:3], *(count - size * unneeded for count, size in zip(whole[3:], sizes[3:], strict=True))]


def _visible_keys(chunk: ScheduledChunk) -> int:
    before = 0 if isinstance(chunk.sequence, Prefix) else chunk.sequence.num_prefix_tokens
    return sum(range(before + chunk.start + 1, before + chunk.stop + 1))


def _num_logit_tokens(chunk: ScheduledChunk) -> int:
    if isinstance(chunk.sequence, Prefix):
        return 0
    return sum(chunk.start <= place < chunk.stop for place in chunk.sequence.logit_indexes)


def _num_logits(chunk: ScheduledChunk, vocabulary: int) -> int:
    if isinstance(chunk.sequence, Prefix):
        return 0
    return _num_logit_tokens(chunk) * (len(chunk.sequence.columns) or vocabulary)


def _bytes_of_layers(layers: Any) -> int:
    """Bytes of parameters and of packed weights, which are not parameters."""
    packed = sum(module.nbytes for module in layers.modules() if isinstance(module, PackedLinear))
    return packed + sum(parameter.nbytes for parameter in layers.parameters())
