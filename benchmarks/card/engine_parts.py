"""Windows and whole notes through the engine, with enough memory and without."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import torch

from benchmarks.card.card_setup import Card
from benchmarks.card.figure_format import NamedFigures, four_digits
from benchmarks.card.forced_steps import with_adapter
from benchmarks.card.limited_memory import LimitedMemoryRunner, memory_limit
from benchmarks.card.random_mistral import WeightForm
from benchmarks.machine.engine_steps import BenchmarkModel
from benchmarks.machine.token_counts import note_of_length
from models.answers import Task
from models.jobs import Job, Question, Work
from models.labels import load_labels
from models.outcomes import Finished
from worker.engine.api import GenerateRequest, Prompt, Request, RequestError, ScoreRequest
from worker.engine.batching.batched_engine import BatchedEngine
from worker.engine.memory.memory_plan import GIB
from worker.engine.network.sentence_embeddings import SentenceEmbeddings, SentenceEmbeddingsError
from worker.entities.window_tagging import tagging_requests
from worker.note.parsed_note import Note
from worker.pipeline import process
from worker.telemetry.usage_meter import UsageMeter
from worker.weights.task_config import task_config

_LIMITED_BYTES = 1.5 * GIB
"""Memory beside the weights: some 9,000 cached tokens of Mistral and a forward pass."""
_LIMITED_ROWS = 64


def scoring(card: Card) -> NamedFigures:
    """Scoring batches without and with an adapter; windows an hour through the engine."""
    forms: tuple[WeightForm, ...] = ("nf4", "nf4 adapter")
    for form in forms:
        network = card.network(form)
        batch = network.scoring_batch(card.texts(network, card.sizes.step_notes), card.settings)
        figures = card.roofline_figures(network, with_adapter(batch, uses_adapter="adapter" in form))
        yield f"{form.replace(' ', '_')}_step", figures | {"decisions_read": len(batch.continuations)}
    switched = card.weights["nf4 adapter"]
    yield (
        "adapter_off_and_on_ms",
        card.milliseconds(lambda: [switched.body(uses_adapter=is_on) for is_on in (False, True)]),
    )
    network = card.network("nf4 adapter")
    requests = _tagging_requests(card, network, card.texts(network, card.sizes.notes))[: card.sizes.windows]
    with closing(_engine(card, network)) as engine:
        began = time.perf_counter()
        engine.answer(requests)
        seconds = time.perf_counter() - began
    yield "windows_asked", len(requests)
    yield "windows_an_hour", round(len(requests) * 3_600 / seconds)


def notes(card: Card) -> NamedFigures:
    """Whole notes through the pipeline: entities and an extractive summary, with the adapter."""
    network = card.network("nf4 adapter")
    labels = tuple(load_labels(card.settings.labels_file))
    meter, config = UsageMeter(), replace(card.config, tagged_labels=tuple(label.name for label in labels))
    summary = Question(task=Task.SUMMARY, parameters={"max_words": card.settings.summary_words})
    jobs = tuple(
        Job(id=number, question=question, recipe_id="", labels=labels if number == 0 else (), attempt=1)
        for number, question in enumerate((Question(task=Task.ENTITIES), summary))
    )

    def answered(text: str) -> int:
        rounds = process(Work(document_id=0, text=text, jobs=jobs), engine=engine, config=config, meter=meter)
        return sum(isinstance(outcome, Finished) for ended in rounds for _, outcome in ended)

    texts = card.texts(network, card.sizes.notes)
    # The engine closes first: when the time is over, waiting notes are refused instead of answered.
    with ThreadPoolExecutor(card.sizes.threads) as pool, closing(_engine(card, network, meter)) as engine:
        began = time.perf_counter()
        finished = sum(pool.map(answered, texts))
        seconds = time.perf_counter() - began
    yield "notes_an_hour", round(len(texts) * 3_600 / seconds)
    yield "jobs_finished", f"{finished} of {2 * len(texts)}"
    usage = meter.usage
    yield "tokens_read_a_note", round(usage.prefill_tokens / len(texts))
    phases = ("prefill", "decode", "schedule", "constrain", "idle_queued", "idle_empty")
    yield "engine_seconds", {phase: four_digits(getattr(usage, f"{phase}_seconds")) for phase in phases}


def out_of_memory(card: Card) -> NamedFigures:
    """Out of memory: a request that never fits is refused with numbers; many requests are all answered."""
    network = card.network("nf4")
    reserved = torch.cuda.memory_reserved() if card.is_cuda else 0
    runner = LimitedMemoryRunner(network.runner, None if card.is_cuda else 1_024)
    limited = replace(network, runner=runner)  # type: ignore[arg-type]
    with memory_limit(card.device, reserved + _LIMITED_BYTES):
        with closing(_engine(card, limited, max_rows=_LIMITED_ROWS)) as engine:
            text = note_of_length(network.chat, 24_000 if card.is_cuda else 1_500, number=0)
            [reply] = engine.answer([GenerateRequest(Prompt(text, "What?"), 8)])
            yield (
                "alone",
                f"{reply.reason}: {reply.detail}" if isinstance(reply, RequestError) else "was answered",
            )
            yield "alone_ran_out", runner.ran_out
        runner.ran_out = 0
        with closing(_engine(card, limited, max_rows=_LIMITED_ROWS)) as engine:
            requests = _requests_beyond_memory(card, network)
            replies = engine.answer(requests)
            scheduler = engine._scheduler
            yield "many_ran_out", runner.ran_out
            yield (
                "many_answered",
                f"{sum(not isinstance(r, RequestError) for r in replies)} of {len(requests)}",
            )
            yield (
                "refusals",
                sorted({f"{r.reason}: {r.detail}" for r in replies if isinstance(r, RequestError)}),
            )
            yield "budget_after", {"rows": scheduler.max_rows, "tokens": scheduler.max_tokens}
            yield "budget_before", {"rows": _LIMITED_ROWS, "tokens": card.sizes.cached_tokens}


def _requests_beyond_memory(card: Card, network: BenchmarkModel) -> list[Request]:
    """Requests that do not fit into memory together. Only a few: they are answered four at a time."""
    size, number = (900, 16) if card.is_cuda else (200, 12)
    texts = [note_of_length(network.chat, size + index, number=index) for index in range(number)]
    return [
        *(GenerateRequest(Prompt(text, "What?"), 16) for text in texts),
        *_tagging_requests(card, network, texts[:8])[:8],
    ]


def _engine(
    card: Card, network: BenchmarkModel, meter: UsageMeter | None = None, max_rows: int = 32
) -> BatchedEngine:
    embeddings: Any = NoEmbeddings()
    if task_config(card.settings).ranking_model.compares_texts:
        with suppress(SentenceEmbeddingsError):
            embeddings = SentenceEmbeddings.load(card.device)
    return BatchedEngine(
        network.runner,
        network.chat,
        network.grammars,
        max_rows=max_rows,
        max_tokens=card.sizes.cached_tokens,
        comparer=embeddings,
        meter=meter,
    )


class NoEmbeddings:
    """Replaces sentence embeddings when they are not installed: every similarity is 0."""

    def similarities(self, _query: str, texts: Sequence[str]) -> tuple[float, ...]:
        return (0.0,) * len(texts)

    def forget(self) -> None:
        """Has nothing to forget."""


def _tagging_requests(card: Card, network: BenchmarkModel, texts: Sequence[str]) -> list[ScoreRequest]:
    config = card.config
    sizes = config.window_tokens, config.summary_window_tokens
    parsed = [Note.of(text, network.count_tokens, *sizes) for text in texts]
    return [request for note in parsed for request in tagging_requests(note, config)]
