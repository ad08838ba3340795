"""Memory plan: its arithmetic against quantized weights, and its errors when memory is short."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from benchmarks.machine.tensor_bytes import stored_bytes, traced_step_bytes
from models.settings import Settings
from worker.engine.memory.device import DeviceFacts, _container_free_bytes
from worker.engine.memory.footprint import (
    AdapterSize,
    activation_bytes,
    bf16_bytes,
    keys_values_bytes,
    nf4_bytes,
)
from worker.engine.memory.memory_plan import GIB, DoesNotFitError, plan_on_cuda
from worker.engine.memory.model_shape import (
    MISTRAL_7B,
    SMOLLM2_135M,
    ModelShape,
    UnknownShapeError,
    shape_of_folder,
)
from worker.engine.memory.plan_from_settings import plan_by_name, plan_memory
from worker.weights.model_files import nf4_config

MISTRAL = ModelShape.of(MISTRAL_7B)
TINY_MISTRAL = MISTRAL_7B | {
    "hidden_size": 256,
    "intermediate_size": 896,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 512,
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return tiny.write_tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def adapter(weights, tmp_path_factory) -> Path:
    return tiny.write_tiny_adapter(weights, tmp_path_factory.mktemp("adapter"), labels=["problem"])


def quantized(folder: Path):
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, quantization_config=nf4_config()
    )


def on_card(gib: float, shape: ModelShape = MISTRAL):
    return plan_on_cuda(
        shape,
        is_quantized=True,
        adapter=AdapterSize.of_rank(16, shape),
        budget_bytes=int(gib * GIB),
        step_tokens=2_048,
        rows=32,
    )


def test_4_bit_weights_take_the_computed_bytes(weights):
    assert stored_bytes(quantized(weights)) == pytest.approx(nf4_bytes(shape_of_folder(weights)), rel=0.03)


def test_4_bit_weights_with_an_adapter_take_the_computed_bytes(weights, adapter):
    computed = nf4_bytes(shape_of_folder(weights)) + AdapterSize.of_folder(adapter).total_bytes
    measured = stored_bytes(
        PeftModel.from_pretrained(quantized(weights), adapter, autocast_adapter_dtype=False)
    )
    assert measured == pytest.approx(computed, rel=0.03)
    assert measured > 1.1 * nf4_bytes(shape_of_folder(weights))


def test_bf16_weights_take_the_computed_bytes(weights):
    network = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.bfloat16)
    assert stored_bytes(network) == pytest.approx(bf16_bytes(shape_of_folder(weights)), rel=0.01)


def test_an_adapter_in_a_folder_has_the_size_of_its_rank(weights, adapter):
    of_rank = AdapterSize.of_rank(4, shape_of_folder(weights))
    assert AdapterSize.of_folder(adapter).parameters == of_rank.parameters


def test_a_forward_pass_holds_the_computed_bytes():
    traced = traced_step_bytes(TINY_MISTRAL, step_tokens=512)
    mask = 512 * 512
    assert traced == pytest.approx(
        activation_bytes(ModelShape.of(TINY_MISTRAL), 512, rows=0) + mask, rel=0.03
    )


def test_keys_and_values_take_the_published_bytes_a_token():
    assert keys_values_bytes(MISTRAL) == 131_072
    assert keys_values_bytes(ModelShape.of(SMOLLM2_135M)) == 23_040


def test_mistral_leaves_room_for_16000_tokens_in_8_gib():
    plan = on_card(8)
    assert plan.weights_bytes <= 4.2 * GIB
    assert plan.cached_tokens >= 16_000
    assert plan.needed_bytes(plan.cached_tokens) <= plan.budget_bytes


def test_a_budget_that_is_too_small_is_an_error_with_the_numbers_and_what_to_type():
    with pytest.raises(DoesNotFitError, match=r"the budget is 4\.00 GiB: set NOTEMILL_MEMORY_GIB=") as raised:
        on_card(4).checked(min_tokens=850)
    assert on_card(4).cached_tokens == 0
    assert "weights 3.85 GiB" in str(raised.value)


@pytest.mark.parametrize("gib", [1, 4, 5.3])
def test_the_budget_in_the_error_is_enough_and_not_much_less_is(gib):
    with pytest.raises(DoesNotFitError) as raised:
        on_card(gib).checked(min_tokens=850)
    needed = raised.value.needed_bytes / GIB
    assert on_card(needed + 0.001).checked(min_tokens=850)
    assert on_card(needed - 0.001).cached_tokens < 850


def test_a_larger_budget_never_holds_fewer_tokens():
    tokens = [on_card(gib).cached_tokens for gib in (4, 5, 6, 8, 12, 24)]
    assert tokens == sorted(tokens)
    assert tokens[-1] > 100_000


def test_an_existing_cuda_context_is_not_counted_again():
    settings = Settings(weights="mistral-7b")
    fresh = plan_by_name(settings, DeviceFacts("cuda", 8 * GIB))
    with_context = plan_by_name(settings, DeviceFacts("cuda", 8 * GIB, has_context=True))
    assert with_context.cached_tokens > fresh.cached_tokens


def test_a_set_budget_is_kept_and_never_exceeds_free_memory():
    settings = Settings(weights="mistral-7b", memory_gib=8)
    assert plan_by_name(settings, DeviceFacts("cuda", 24 * GIB)).budget_bytes == 8 * GIB
    assert plan_by_name(settings, DeviceFacts("cuda", 6 * GIB)).budget_bytes == 6 * GIB


def test_a_cpu_plan_takes_a_share_and_holds_a_merged_copy(weights, adapter):
    alone = plan_memory(Settings(weights=str(weights)), DeviceFacts("cpu", 32 * GIB))
    with_adapter = plan_memory(
        Settings(weights=str(weights), adapter=str(adapter)), DeviceFacts("cpu", 32 * GIB)
    )
    assert alone.left_bytes <= 2 * GIB
    assert alone.budget_bytes < 4 * GIB
    assert 1.5 * alone.weights_bytes < with_adapter.weights_bytes < 2 * alone.weights_bytes
    plan = plan_memory(
        Settings(weights=str(weights), adapter=str(adapter), quantization="none"),
        DeviceFacts("cpu", 32 * GIB),
    )
    assert plan.weights_bytes == 2 * alone.weights_bytes


def test_a_config_without_dimensions_is_an_error_that_names_them():
    with pytest.raises(UnknownShapeError, match="hidden_size, intermediate_size"):
        ModelShape.of(MISTRAL_7B | {"hidden_size": None, "intermediate_size": None})


def test_free_memory_of_a_container_excludes_memory_that_cannot_be_reclaimed(tmp_path):
    for name, text in {"max": "1000", "current": "700", "stat": "anon 5\ninactive_file 200"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert _container_free_bytes(tmp_path) == 500
    (tmp_path / "memory.max").write_text("max")
    assert _container_free_bytes(tmp_path) is None


def test_the_embedded_weights_take_the_bytes_of_their_file():
    assert ModelShape.of(SMOLLM2_135M).head_size == 64
    assert nf4_bytes(ModelShape.of(SMOLLM2_135M)) == pytest.approx(111_879_761, rel=0.03)
