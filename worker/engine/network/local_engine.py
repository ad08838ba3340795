"""The default engine: transformers weights, NF4 by bitsandbytes, an optional peft adapter, put together."""

from __future__ import annotations

import torch
from transformers.utils import logging as transformers_logging

from models.settings import Settings
from worker.allocation import keep_freed_memory
from worker.batching import BatchedEngine
from worker.chat import Chat
from worker.cores import apart
from worker.device import device_facts
from worker.grammar import Grammars
from worker.meaning import Meaning
from worker.metering import Meter
from worker.networks import load_networks
from worker.planning import plan_memory
from worker.recipes import ways
from worker.tokenizer import load_tokenizer
from worker.transformers_runner import TransformersRunner
from worker.weights import prepared_folder


def load(settings: Settings, meter: Meter | None = None) -> BatchedEngine:
    """The engine that the settings name, weights in memory. Takes seconds; call it once a process.

    Raises NotemillError where the weights are not there.
    """
    transformers_logging.disable_progress_bar()
    folder = prepared_folder(settings)
    is_cuda = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
    device = torch.device("cuda" if is_cuda else "cpu")
    if not is_cuda:
        keep_freed_memory()
    plan = plan_memory(settings, device_facts("cuda" if is_cuda else "cpu"))
    tokenizer = load_tokenizer(settings)
    max_tokens = settings.max_batch_tokens or plan.cached_tokens
    runner = apart(
        lambda: TransformersRunner(load_networks(folder, settings, device), device, max_tokens=max_tokens)
    )
    return BatchedEngine(
        runner,
        Chat(tokenizer),
        Grammars(tokenizer, runner.vocabulary_size),
        max_rows=settings.max_batch_rows,
        max_tokens=max_tokens,
        meaning=apart(lambda: Meaning.load(device)) if ways(settings).search_join.is_comparing else None,
        meter=meter,
    )
