"""Times of forward batches and of attention, and the GPU's peaks."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F  # noqa: N812  the name that torch's documentation uses
from torch.nn.attention.bias import causal_lower_right

from benchmarks.card.card_setup import Card
from benchmarks.card.figure_format import NamedFigures, four_digits, mib
from benchmarks.card.forced_steps import limited_to_tokens, prefill_batch, with_adapter, with_draft_tokens
from benchmarks.card.limited_memory import bytes_in_use, release_cached_memory
from benchmarks.machine.machine_peaks import fastest, matrix_products, memory_traffic
from benchmarks.roofline import prefix_texts
from worker.engine.attention import packed_attention
from worker.engine.attention.cuda_graphs import GRAPH_SIZES
from worker.engine.batching.scheduler import MAX_FORWARD_TOKENS
from worker.engine.memory.footprint import cuda_graph_bytes


def hardware_limits(card: Card) -> NamedFigures:
    """Peaks of bf16 products and of memory; the other parts' fractions are of these medians."""
    peaks = matrix_products(card.shape, MAX_FORWARD_TOKENS, torch.bfloat16, card.device, card.sizes.square)
    copies = memory_traffic(card.shape, torch.bfloat16, card.device, card.sizes.array_bytes)
    for probe in (*peaks, *copies):
        probe.seconds = card.timed(probe.run).seconds
    # Only the rates are kept: the probes' arrays take gigabytes.
    card.peaks, card.copies = [[replace(probe, run=bool) for probe in probes] for probes in (peaks, copies)]
    yield "tflops", {peak.name: four_digits(peak.median / 1e12) for peak in peaks}
    yield "gb_per_second", {copy.name: round(copy.median / 1e9) for copy in copies}
    yield "best_tflops", four_digits(fastest(peaks) / 1e12)
    del peaks, copies, probe
    release_cached_memory()


def prefill(card: Card) -> NamedFigures:
    """Tokens a second of prefill batches of windows of about 500 tokens."""
    network = card.network("nf4")
    for size in card.sizes.step_tokens:
        yield f"{size}_tokens", card.roofline_figures(network, prefill_batch(network, size))


def decode(card: Card) -> NamedFigures:
    """Tokens a second of decode batches by number of sequences, also with six draft tokens each."""
    network = card.network("nf4")
    for number in card.sizes.num_continuations:
        batch = network.decode_batch(prefix_texts(network, number), number, card.settings)
        yield f"{number}_branches", card.roofline_figures(network, batch)
    for number in (1, 8):
        batch = with_draft_tokens(
            network.decode_batch(prefix_texts(network, number), number, card.settings), 6
        )
        yield f"{number}_branches_with_6_guesses", card.roofline_figures(network, batch)


def cuda_graphs(card: Card) -> NamedFigures:
    """Decode batches with and without CUDA graphs; memory that all graphs keep."""
    network = card.network("nf4 adapter")
    runner, max_sequences = network.runner, card.sizes.num_continuations[-1]
    graphs = runner._graphs
    for number, uses_adapter in product((1, 8, 32), (False, True)):
        if number <= max_sequences:
            batch = network.decode_batch(prefix_texts(network, number), number, card.settings)
            run = partial(runner.run, with_adapter(batch, uses_adapter=uses_adapter))
            runner._graphs = None
            ordinary, ordinary_ms = run(), card.milliseconds(run)
            runner._graphs = graphs
            from_graph = [run() for _ in range(5)][-1]
            differences = [float(abs(from_graph[key] - ordinary[key]).max()) for key in ordinary]
            yield (
                f"{number}_branches{'_adapter' * uses_adapter}",
                {
                    "ordinary_ms": ordinary_ms,
                    "recorded_ms": card.milliseconds(run),
                    "greatest_difference": four_digits(max(differences)),
                },
            )
    if graphs is None:
        return
    batch = network.decode_batch(prefix_texts(network, max_sequences), max_sequences, card.settings)
    # Allocates the whole cache before memory is read.
    runner.run(limited_to_tokens(batch, GRAPH_SIZES[-1]))
    graphs.clear()
    release_cached_memory()
    before = bytes_in_use()
    for size, uses_adapter in product(GRAPH_SIZES, (False, True)):
        for _ in range(5):
            runner.run(with_adapter(limited_to_tokens(batch, size), uses_adapter=uses_adapter))
    release_cached_memory()
    yield "recordings_mib_planned", mib(cuda_graph_bytes(card.shape, is_quantized=True))
    yield "recordings_mib", mib(bytes_in_use() - before)


def kernels(card: Card) -> NamedFigures:
    """Block attention, as on a CPU without AMX, compared with CUDA's fused kernel, for Mistral's heads."""
    for tokens, keys in ((470, 470), (470, 1_000), (2_048, 2_048)):
        yield f"{tokens}_tokens_over_{keys}", _time_kernels(card, tokens, keys)


def _time_kernels(card: Card, tokens: int, keys: int) -> dict[str, float]:
    shape, device = card.shape, card.device
    query = torch.randn(tokens, shape.heads, shape.head_size, device=device).bfloat16()
    key, value = torch.randn(2, shape.key_value_heads, keys, shape.head_size, device=device).bfloat16()

    def ours() -> torch.Tensor:
        return packed_attention._by_blocks(query, key, value)

    def fused() -> torch.Tensor:
        mask = causal_lower_right(tokens, keys)
        heads = query.transpose(0, 1)[None]
        out = F.scaled_dot_product_attention(heads, key[None], value[None], mask, enable_gqa=True)
        return out[0].transpose(0, 1)

    with torch.inference_mode():
        figures = {"ours_ms": card.milliseconds(ours)}
        with suppress(RuntimeError, TypeError):
            figures["fused_ms"] = card.milliseconds(fused)
            figures["greatest_difference"] = four_digits(float((ours() - fused()).abs().max()))
    return figures
