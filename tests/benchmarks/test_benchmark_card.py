"""The GPU benchmark in a trial run on a CPU."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tiny
import torch

from benchmarks.card.__main__ import PARTS, main
from benchmarks.card.card_setup import Card
from benchmarks.card.forced_steps import (
    appended_prefix_batch,
    decode_batch_at_limit,
    long_prefix_batch,
    prefill_batch,
    with_draft_tokens,
)
from benchmarks.card.part_runner import BenchmarkPart
from benchmarks.card.random_mistral import WeightForm, random_networks, short_tokenizer
from benchmarks.card.run_sizes import SHRUNKEN
from benchmarks.machine.tensor_bytes import stored_bytes
from models.settings import Settings
from worker.engine.attention.kv_cache import KvCache
from worker.engine.batching.sequences import Continuation, ForwardBatch, Prefix, ScheduledChunk
from worker.engine.memory.footprint import BF16, AdapterSize, nf4_bytes
from worker.engine.memory.model_shape import ModelShape

CPU = torch.device("cpu")
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is available")


@pytest.fixture(autouse=True)
def one_thread():
    """On a busy machine two threads that wait for each other take 0.6 s a batch instead of 0.01 s."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def rehearsed(tmp_path, monkeypatch, capsys):
    """Runs parts on tiny weights; returns the exit status and the JSON object of the last line."""
    monkeypatch.setenv("NOTEMILL_WEIGHTS", str(tiny.write_tiny_weights(tmp_path / "tiny")))
    monkeypatch.setenv("NOTEMILL_QUANTIZATION", "none")

    def run(*names: str, **others: BenchmarkPart) -> tuple[int, dict[str, Any]]:
        parts = {name: PARTS[name] for name in names} | others
        status = main(["--shape=small", "--json", f"--parts={','.join(parts)}"], parts)
        return status, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


@pytest.mark.parametrize("form", ["nf4", "nf4 adapter"])
def test_random_weights_take_the_planned_memory(form: WeightForm):
    shape = ModelShape.of(SHRUNKEN.config)
    adapter = AdapterSize.of_rank(16, shape).parameters * BF16 if form == "nf4 adapter" else 0
    stored = stored_bytes(random_networks(SHRUNKEN.config, form, CPU).plain)
    assert stored - adapter == pytest.approx(nf4_bytes(shape), rel=0.001)


@without_cuda
def test_batches_are_reported_with_fractions_of_the_measured_peaks(rehearsed):
    status, report = rehearsed("limits", "prefill", "decode")
    assert (status, report["failed"]) == (0, {})
    assert report["parts"]["decode"]["8_branches"]["tokens_per_second"] > 0
    assert report["parts"]["prefill"]["128_tokens"]["of_product"] > 0


@without_cuda
def test_the_planned_cached_tokens_fit_in_every_arrangement(rehearsed):
    status, report = rehearsed("fits")
    assert (status, report["failed"]) == (0, {})
    fits = report["parts"]["fits"]
    assert fits["grown_note_by_note"]["fitted_tokens"] == SHRUNKEN.cached_tokens
    assert fits["8_branches_and_the_rest_shared"]["fitted_tokens"] == SHRUNKEN.cached_tokens


@without_cuda
def test_random_weights_score_windows_and_answer_notes(rehearsed):
    status, report = rehearsed("decides", "notes")
    assert (status, report["failed"]) == (0, {})
    assert report["parts"]["decides"]["windows_asked"] == SHRUNKEN.windows
    assert report["parts"]["notes"]["jobs_finished"] == "2 of 2"


@without_cuda
def test_the_same_device_gives_the_same_answers(rehearsed):
    status, report = rehearsed("correctness")
    assert status == 0
    assert report["parts"]["correctness"]["marks plain"]["same"] == 1
    assert report["parts"]["correctness"]["cpu_and_transformers"]["same"] > 0.9


@without_cuda
def test_out_of_memory_refuses_one_too_large_request_with_numbers_and_answers_many(rehearsed):
    _, report = rehearsed("oom")
    figures = report["parts"]["oom"]
    assert figures["alone"].startswith("out_of_memory: ")
    assert figures["many_ran_out"] > 0
    assert figures["refusals"] == []
    assert figures["budget_after"]["tokens"] < figures["budget_before"]["tokens"]


@without_cuda
def test_a_part_that_fails_does_not_affect_the_others(rehearsed):
    def broken(_card):
        yield "known", 1
        raise ValueError("broken")

    def whole(_card):
        yield "figure", 2

    status, report = rehearsed(broken=BenchmarkPart(broken, 5.0), whole=BenchmarkPart(whole, 5.0))
    assert status == 1
    assert report["failed"] == {"broken": "ValueError: broken"}
    assert report["parts"] == {"broken": {"known": 1}, "whole": {"figure": 2}}


@without_cuda
def test_a_part_ends_at_its_time_limit(rehearsed):
    def endless(_card):
        yield "known", 1
        while True:
            pass

    _, report = rehearsed(endless=BenchmarkPart(endless, 0.2))
    assert report["failed"]["endless"].startswith("PartTimeoutError")


@without_cuda
def test_without_a_gpu_the_message_names_the_option_to_use(capsys):
    assert main([]) == 2
    assert "--shape small" in capsys.readouterr().err


def test_an_unknown_part_is_a_usage_error(capsys):
    with pytest.raises(SystemExit):
        main(["--parts", "memory,speed"])
    assert "unknown part: speed" in capsys.readouterr().err


def test_a_shortened_tokenizer_stays_within_its_vocabulary_and_loses_no_text(tmp_path):
    settings = Settings(weights=str(tiny.write_tiny_weights(tmp_path / "tiny")))
    short = short_tokenizer(settings, 270)
    tokens = short("the patient was given aspirin", add_special_tokens=False)["input_ids"]
    assert max(tokens) < 270
    assert short.decode(tokens) == "the patient was given aspirin"


def test_forced_batches_have_the_requested_number_of_tokens():
    prefix = Prefix((1,) * 5, cache_start=0)
    batch = ForwardBatch(
        (ScheduledChunk(Continuation(prefix, [1, 2], (1,), reserved_tokens=20, slot=0), 1, 2),), 5, 1, 20
    )
    assert with_draft_tokens(batch, 6).num_tokens == 7
    assert long_prefix_batch(100, 30).num_tokens == 30
    assert appended_prefix_batch(4_096).chunks[0].sequence.cache_start == 2_048


@pytest.mark.parametrize(("rows", "reserved_tokens"), [(32, 512), (32, 400), (5, 100)])
def test_sequences_and_their_shared_prefix_stay_within_the_cache_limit(rows, reserved_tokens):
    batch = decode_batch_at_limit(20_999, rows, reserved_tokens)
    cache = KvCache(num_layers=1, key_heads=1, size=1, device=CPU, max_tokens=20_999)
    cache.make_room(
        shared_tokens=batch.shared_tokens, num_slots=batch.num_slots, slot_tokens=batch.slot_tokens
    )
    assert 20_999 - 2_048 < cache.num_tokens <= 20_999


@without_cuda
def test_a_prefill_batch_is_full(tmp_path):
    settings = Settings(weights=str(tiny.write_tiny_weights(tmp_path / "tiny")), quantization="none")
    network = Card(CPU, settings, SHRUNKEN, 0).network("nf4")
    assert prefill_batch(network, 1_300).num_tokens == 1_300


@without_cuda
def test_a_second_model_has_the_same_weights_and_an_empty_cache(tmp_path):
    settings = Settings(weights=str(tiny.write_tiny_weights(tmp_path / "tiny")), quantization="none")
    card = Card(CPU, settings, SHRUNKEN, 0)
    first = card.network("nf4")
    first.runner.run(long_prefix_batch(100, 30))
    again = card.network("nf4")
    assert again.runner._network is first.runner._network
    assert (first.runner._cache.num_tokens, again.runner._cache.num_tokens) == (2_048, 0)
