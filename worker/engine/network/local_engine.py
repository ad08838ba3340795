"""Loads the local engine: transformers weights, NF4 by bitsandbytes, and an optional peft adapter."""

from __future__ import annotations

import torch
from transformers.utils import logging as transformers_logging

from models.settings import Settings
from worker.engine.batching.batched_engine import BatchedEngine
from worker.engine.memory.device import device_facts
from worker.engine.memory.malloc import keep_freed_memory
from worker.engine.memory.plan_from_settings import plan_memory
from worker.engine.network.cpu_threads import run_in_own_thread
from worker.engine.network.model_loader import load_network
from worker.engine.network.model_runner import TransformersRunner
from worker.engine.network.sentence_embeddings import SentenceEmbeddings
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.grammar import GrammarCompiler
from worker.engine.prompting.tokenizer import load_tokenizer
from worker.telemetry.usage_meter import UsageMeter
from worker.weights.model_files import prepared_folder
from worker.weights.task_config import task_config


def load(settings: Settings, meter: UsageMeter | None = None) -> BatchedEngine:
    """Loads the engine of the settings with its weights. Takes seconds; call it once a process.

    Raises NotemillError if the weights are missing.
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
    runner = run_in_own_thread(
        lambda: TransformersRunner(load_network(folder, settings, device), device, max_tokens=max_tokens)
    )
    return BatchedEngine(
        runner,
        Chat(tokenizer),
        GrammarCompiler(tokenizer, runner.vocabulary_size),
        max_rows=settings.max_batch_rows,
        max_tokens=max_tokens,
        comparer=run_in_own_thread(lambda: SentenceEmbeddings.load(device))
        if task_config(settings).ranking_model.compares_texts
        else None,
        meter=meter,
    )
