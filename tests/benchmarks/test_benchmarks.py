"""Benchmarks on tiny weights: their figures are plausible and count the named quantities."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny import write_tiny_weights

from benchmarks import sweep
from benchmarks.comparison.agreement import RoundingCheck, measure_agreement
from benchmarks.comparison.workload import BenchmarkPrompt, GeneratedAnswer, lark_of
from benchmarks.machine import plots
from benchmarks.machine.engine_steps import BenchmarkModel
from benchmarks.machine.machine_peaks import TimedProbe
from benchmarks.peers.naive_loop import NaiveLoop
from benchmarks.peers.notemill_engine import NotemillGeneration
from benchmarks.peers.transformers_model import TransformersModel
from benchmarks.roofline import measure_roofline, roofline_figures
from benchmarks.roofline_table import roofline_table
from models.settings import Settings
from worker.engine.api import GenerateRequest, Prompt
from worker.engine.batching.scheduler import MAX_FORWARD_TOKENS
from worker.engine.batching.sequences import Continuation, ForwardBatch, Prefix, ScheduledChunk
from worker.engine.output_formats import EntityList

NOTES = ("The patient was given aspirin 81 mg for chest pain.", "Denies fever or cough. Metoprolol for pain.")
MACHINE = {"date": "2026-01-01", "processor": "none", "threads": 1}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def settings(weights):
    return Settings(weights=str(weights), quantization="none", adapter="none")


@pytest.fixture(scope="module")
def network(settings):
    return BenchmarkModel.load(settings)


def prompts() -> list[BenchmarkPrompt]:
    """Three questions on each of two notes."""
    requests = [
        (
            index,
            GenerateRequest(
                Prompt(note, f"Question {number}?"), max_tokens=24, output_format=EntityList(note, 2)
            ),
        )
        for index, note in enumerate(NOTES)
        for number in range(3)
    ]
    return [
        BenchmarkPrompt(index, "entities", request.prompt, 24, lark_of(request), request)
        for index, request in requests
    ]


def test_roofline_fractions_are_between_zero_and_one_and_a_half(settings):
    measured = measure_roofline(settings, seconds=0, sequences=(1, 8), square=256, array_bytes=2**22)
    report = json.loads(json.dumps(MACHINE | roofline_figures(measured)))
    fractions = [report["prefill_fraction"], *report["prefill_fractions"].values()]
    fractions += [report["decode_fraction"], *report["decode_fractions"].values()]
    assert all(0 < fraction < 1.5 for fraction in fractions)
    assert report["decode_fraction"] == report["decode_fractions"]["8"]
    assert "of the products' peak" in roofline_table(report)


def test_batch_flops_equal_torchs_count_without_attention(network):
    from torch.utils.flop_counter import FlopCounterMode

    prefix = Prefix(tuple(range(40)), cache_start=0)
    continuation = Continuation(prefix, list(range(24)), logit_indexes=(23,), reserved_tokens=24, slot=0)
    batch = ForwardBatch((ScheduledChunk(prefix, 0, 40), ScheduledChunk(continuation, 0, 24)), 40, 1, 24)
    laid_out = torch.ops.mkldnn._linear_pointwise
    with FlopCounterMode(display=False, custom_mapping={laid_out: _operations}) as counter:
        network.runner.run(batch)
    by_torch = counter.get_flop_counts()["Global"]
    products = sum(count for operation, count in by_torch.items() if "bmm" not in str(operation))
    prefix_pairs, causal_pairs = 40 * 41 // 2, 64 * 65 // 2
    keys_seen = 2 * causal_pairs - prefix_pairs  # the second and last layer computes none for the prefix
    assert network.batch_flops(batch) - 4 * 4 * 16 * keys_seen == products


def test_with_the_adapter_all_linear_layers_but_down_proj_are_int8(network):
    def int8_flops(*, uses_adapter: bool) -> float:
        batch = ForwardBatch(
            (ScheduledChunk(Prefix(tuple(range(40)), uses_adapter, cache_start=0), 0, 40),), 40, 0, 0
        )
        return replace(network, is_int8=True).int8_flops(batch)

    *linear_sizes, _down = (inputs * outputs for inputs, outputs in network.shape.linear_layers)
    last_layer = sum(linear_sizes[:3])  # no logits are needed
    layers = network.shape.layers
    assert int8_flops(uses_adapter=True) == 2 * 40 * ((layers - 1) * sum(linear_sizes) + last_layer)
    assert int8_flops(uses_adapter=False) == 0


def _operations(rows: tuple[int, int], *others: Any, **_more: object) -> int:
    """Operations from shapes. A fused operand precedes the weight; without one the weight is first."""
    weight = others[1] or others[0]
    return 2 * rows[0] * rows[1] * int(weight[0])


def test_a_prefill_batch_is_full_and_a_decode_batch_has_one_token_per_sequence(network, settings):
    texts = [note * 20 for note in NOTES]
    assert MAX_FORWARD_TOKENS / 2 < network.scoring_batch(texts, settings).num_tokens <= MAX_FORWARD_TOKENS
    decode_batch = network.decode_batch(texts, 8, settings)
    assert [chunk.num_tokens for chunk in decode_batch.chunks] == [1] * 8
    with pytest.raises(ValueError, match="not 9"):
        network.decode_batch(texts, 9, settings)


def test_batch_bytes_count_a_shared_prefix_once(network, settings):
    [text, _] = [note * 20 for note in NOTES]
    single, four = (network.decode_batch([text], number, settings) for number in (1, 4))
    own = sum(len(continuation.tokens) for continuation in four.continuations) - len(
        single.continuations[0].tokens
    )
    assert network.batch_bytes(four) - network.batch_bytes(single) == own * 2 * 2 * 2 * 16 * 2


def test_a_probe_keeps_its_best_and_its_median_rate():
    probe = TimedProbe("p", 6.0, lambda: None, [3.0, 1.0, 2.0])
    assert (probe.best, probe.median) == (6.0, 3.0)
    probe.time(torch.device("cpu"))
    assert len(probe.seconds) == 4


def test_the_engine_gives_the_same_answers_as_the_naive_loop(weights, settings):
    answers = []
    for contender in (NaiveLoop(weights), NotemillGeneration(settings)):
        contender.prepare(prompts())
        answers.append(contender.answer(prompts()))
        contender.close()
    naive, ours = answers
    same = [
        answer.text.strip() == expected.text.strip() for answer, expected in zip(naive, ours, strict=True)
    ]
    assert sum(same) >= 4  # of six: random weights have logits closer together than bf16 rounding
    assert all(answer.num_tokens for answer in ours)


def test_a_job_agrees_if_all_its_answers_agree_and_only_differences_are_checked_for_rounding():
    reference = [GeneratedAnswer(text, 1) for text in "abcdef"]
    differing = [GeneratedAnswer(text, 1) for text in "abcdXY"]
    compared = []
    agreement = measure_agreement(
        prompts(), differing, reference, lambda _prompt, *pair: compared.append(pair) or True
    )
    assert (agreement.requests, agreement.jobs, agreement.jobs_but_rounding) == (4 / 6, 0.5, 1.0)
    assert [(answer.text, expected.text) for answer, expected in compared] == [("X", "e"), ("Y", "f")]


def test_a_difference_is_rounding_only_between_equally_likely_tokens(weights):
    naive, prompt, loaded = NaiveLoop(weights), prompts()[0], TransformersModel.of(weights)
    naive.prepare([prompt])
    [reference] = naive.answer([prompt])
    with torch.no_grad():
        ids = torch.tensor([loaded.chat.encode(prompt.prompt).tokens])
        unlikely_first = loaded.network(ids).logits[0, -1].argsort().tolist()
        texts = {token: loaded.chat.decode([token]) for token in unlikely_first}
        other = next(token for token in unlikely_first if len(texts[token]) > 1 and texts[token].isalpha())
        answer = GeneratedAnswer(texts[other], 1)
        assert not RoundingCheck(loaded.network, loaded.chat)(prompt, answer, reference)
        loaded.network.lm_head.weight[other] = loaded.network.lm_head.weight[reference.tokens[0]]
        assert RoundingCheck(loaded.network, loaded.chat)(prompt, answer, reference)


def test_a_sweep_has_a_point_for_each_number_of_sequences_and_can_be_plotted(settings, tmp_path):
    pytest.importorskip("matplotlib")
    points = list(sweep.sweep_decoding(settings, (1, 4), rounds=1))
    assert [point["branches"] for point in points] == [1, 4]
    assert all(point["tokens_per_second"] > 0 for point in points)
    points.append({"kind": "notes", "words": 100, "notes_per_hour": 3_600.0})
    plots.plot([point | MACHINE for point in points], tmp_path / "plot.svg")
    assert "notes an hour" in (tmp_path / "plot.svg").read_text("utf-8")


def test_points_of_only_one_kind_cannot_be_plotted(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="measure again"):
        plots.plot([MACHINE | {"kind": "notes", "words": 1, "notes_per_hour": 1.0}], tmp_path / "plot.svg")


def test_a_cut_note_has_the_requested_number_of_words():
    assert len(sweep._cut(NOTES, 1, 30).split()) == 30
