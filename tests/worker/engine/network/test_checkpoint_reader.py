"""Checkpoints without conversion, compared with transformers' own loading."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from worker.engine.network.checkpoint_reader import load_checkpoint


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    config = LlamaConfig(**sizes, num_attention_heads=4, tie_word_embeddings=request.param)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path)
    return tmp_path


def test_a_loaded_checkpoint_equals_the_one_of_transformers(folder: Path) -> None:
    loaded = load_checkpoint(AutoModelForCausalLM, folder, torch.bfloat16)
    expected = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    for own, theirs in zip(loaded.named_buffers(), expected.named_buffers(), strict=True):
        assert own[0] == theirs[0]
        assert torch.equal(own[1], theirs[1])
    tokens = torch.arange(30)[None]
    assert torch.equal(loaded(tokens).logits, expected(tokens).logits)
    is_tied = loaded.lm_head.weight is loaded.model.embed_tokens.weight
    assert is_tied == expected.config.tie_word_embeddings


def test_a_missing_tensor_is_an_error_with_its_name(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(RuntimeError, match=r"lack model\.layers\.1\.mlp\.up_proj\.weight$"):
        load_checkpoint(AutoModelForCausalLM, folder, torch.bfloat16)
