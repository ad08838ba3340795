"""The benchmark of a CUDA card, rehearsed on a CPU: what is no figure of a card holds here too."""

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
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card here")


@pytest.fixture(autouse=True)
def one_thread():
    """Two that wait for each other are slow where others keep the processor busy: 0.6 s a step for 0.01."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def rehearsed(tmp_path, monkeypatch, capsys):
    """Runs parts of it on tiny weights; returns the exit status and the object of the last line."""
    monkeypatch.setenv("NOTEMILL_WEIGHTS", str(tiny.write_tiny_weights(tmp_path / "tiny")))
    monkeypatch.setenv("NOTEMILL_QUANTIZATION", "none")

    def run(*names: str, **others: BenchmarkPart) -> tuple[int, dict[str, Any]]:
        parts = {name: PARTS[name] for name in names} | others
        status = main(["--shape=small", "--json", f"--parts={','.join(parts)}"], parts)
        return status, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


@pytest.mark.parametrize("form", ["nf4", "nf4 adapter"])
def test_random_weights_take_what_the_plan_says(form: WeightForm):
    shape = ModelShape.of(SHRUNKEN.config)
    adapter = AdapterSize.of_rank(16, shape).parameters * BF16 if form == "nf4 adapter" else 0
    stored = stored_bytes(random_networks(SHRUNKEN.config, form, CPU).plain)
    assert stored - adapter == pytest.approx(nf4_bytes(shape), rel=0.001)


@without_cuda
def test_steps_have_figures_beside_the_machines_own(rehearsed):
    status, found = rehearsed("limits", "prefill", "decode")
    assert (status, found["failed"]) == (0, {})
    assert found["parts"]["decode"]["8_branches"]["tokens_per_second"] > 0
    assert found["parts"]["prefill"]["128_tokens"]["of_product"] > 0


@without_cuda
def test_what_is_planned_fits_in_each_way(rehearsed):
    status, found = rehearsed("fits")
    assert (status, found["failed"]) == (0, {})
    fits = found["parts"]["fits"]
    assert fits["grown_note_by_note"]["fitted_tokens"] == SHRUNKEN.cached_tokens
    assert fits["8_branches_and_the_rest_shared"]["fitted_tokens"] == SHRUNKEN.cached_tokens


@without_cuda
def test_windows_and_notes_are_answered_by_random_weights(rehearsed):
    status, found = rehearsed("decides", "notes")
    assert (status, found["failed"]) == (0, {})
    assert found["parts"]["decides"]["windows_asked"] == SHRUNKEN.windows
    assert found["parts"]["notes"]["jobs_finished"] == "2 of 2"


@without_cuda
def test_the_same_device_answers_the_same(rehearsed):
    status, found = rehearsed("correctness")
    assert status == 0
    assert found["parts"]["correctness"]["marks plain"]["same"] == 1
    assert found["parts"]["correctness"]["cpu_and_transformers"]["same"] > 0.9


@without_cuda
def test_out_of_memory_alone_is_refused_with_numbers_and_many_are_answered(rehearsed):
    _, found = rehearsed("oom")
    told = found["parts"]["oom"]
    assert told["alone"].startswith("out_of_memory: ")
    assert told["many_ran_out"] > 0
    assert told["refusals"] == []
    assert told["budget_after"]["tokens"] < told["budget_before"]["tokens"]


@without_cuda
def test_a_part_that_fails_costs_the_others_nothing(rehearsed):
    def broken(_card):
        yield "known", 1
        raise ValueError("broken")

    def whole(_card):
        yield "figure", 2

    status, found = rehearsed(broken=BenchmarkPart(broken, 5.0), whole=BenchmarkPart(whole, 5.0))
    assert status == 1
    assert found["failed"] == {"broken": "ValueError: broken"}
    assert found["parts"] == {"broken": {"known": 1}, "whole": {"figure": 2}}


@without_cuda
def test_a_part_is_ended_when_its_time_is_over(rehearsed):
    def endless(_card):
        yield "known", 1
        while True:
            pass

    _, found = rehearsed(endless=BenchmarkPart(endless, 0.2))
    assert found["failed"]["endless"].startswith("PartTimeoutError")


@without_cuda
def test_without_a_card_it_says_what_to_type(capsys):
    assert main([]) == 2
    assert "--shape small" in capsys.readouterr().err


def test_an_unknown_part_is_a_wrong_command(capsys):
    with pytest.raises(SystemExit):
        main(["--parts", "memory,speed"])
    assert "unknown: speed" in capsys.readouterr().err


def test_a_shortened_tokenizer_has_so_many_tokens_and_loses_no_text(tmp_path):
    settings = Settings(weights=str(tiny.write_tiny_weights(tmp_path / "tiny")))
    short = short_tokenizer(settings, 270)
    tokens = short("the patient was given aspirin", add_special_tokens=False)["input_ids"]
    assert max(tokens) < 270
    assert short.decode(tokens) == "the patient was given aspirin"


def test_steps_have_the_tokens_they_are_named_for():
    beginning = Prefix((1,) * 5, cache_start=0)
    batch = ForwardBatch(
        (ScheduledChunk(Continuation(beginning, [1, 2], (1,), reserved_tokens=20, slot=0), 1, 2),), 5, 1, 20
    )
    assert with_draft_tokens(batch, 6).num_tokens == 7
    assert long_prefix_batch(100, 30).num_tokens == 30
    assert appended_prefix_batch(4_096).chunks[0].sequence.cache_start == 2_048


@pytest.mark.parametrize(("rows", "reserved_tokens"), [(32, 512), (32, 400), (5, 100)])
def test_branches_and_what_they_share_take_no_more_cache_than_is_planned(rows, reserved_tokens):
    batch = decode_batch_at_limit(20_999, rows, reserved_tokens)
    cache = KvCache(num_layers=1, key_heads=1, size=1, device=CPU, max_tokens=20_999)
    cache.make_room(
        shared_tokens=batch.shared_tokens, num_slots=batch.num_slots, slot_tokens=batch.slot_tokens
    )
    assert 20_999 - 2_048 < cache.num_tokens <= 20_999


@without_cuda
def test_a_step_that_reads_is_full(tmp_path):
    settings = Settings(weights=str(tiny.write_tiny_weights(tmp_path / "tiny")), quantization="none")
    network = Card(CPU, settings, SHRUNKEN, 0).network("nf4")
    assert prefill_batch(network, 1_300).num_tokens == 1_300


@without_cuda
def test_a_network_that_is_asked_for_again_has_the_same_weights_and_nothing_cached(tmp_path):
    settings = Settings(weights=str(tiny.write_tiny_weights(tmp_path / "tiny")), quantization="none")
    card = Card(CPU, settings, SHRUNKEN, 0)
    first = card.network("nf4")
    first.runner.run(long_prefix_batch(100, 30))
    again = card.network("nf4")
    assert again.runner._networks is first.runner._networks
    assert (first.runner._cache.num_tokens, again.runner._cache.num_tokens) == (2_048, 0)
