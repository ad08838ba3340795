"""GGUF files of the embedded weights hold every value where llama.cpp expects it."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from models.errors import UsageError
from training.finetune.gguf_files import write_gguf

SHAPE = {"hidden_size": 576, "intermediate_size": 64, "num_attention_heads": 9, "num_key_value_heads": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights with one layer of the embedded network's width and a small vocabulary."""
    folder = tmp_path_factory.mktemp("weights")
    config = LlamaConfig(**SHAPE, num_hidden_layers=1, vocab_size=128, tie_word_embeddings=True)
    torch.manual_seed(1)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def test_values_keys_and_tokenizer_are_in_the_file(folder: Path, tmp_path: Path) -> None:
    reader = gguf.GGUFReader(write_gguf(folder, tmp_path / "weights.gguf", "f32"))
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    network = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    np.testing.assert_array_equal(
        tensors["token_embd.weight"].data, network.model.embed_tokens.weight.detach().numpy()
    )
    down = network.model.layers[0].mlp.down_proj.weight.detach().numpy()
    np.testing.assert_array_equal(tensors["blk.0.ffn_down.weight"].data, down)
    query = network.model.layers[0].self_attn.q_proj.weight.detach().numpy()
    first_head = tensors["blk.0.attn_q.weight"].data[:64]
    np.testing.assert_array_equal(first_head[0::2], query[:32])
    np.testing.assert_array_equal(first_head[1::2], query[32:64])
    assert reader.get_field("tokenizer.ggml.tokens") is not None


def test_other_weights_are_refused(tmp_path: Path) -> None:
    config = LlamaConfig(**SHAPE | {"hidden_size": 72}, num_hidden_layers=1, vocab_size=128)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "other")
    with pytest.raises(UsageError, match="convert_hf_to_gguf"):
        write_gguf(tmp_path / "other", tmp_path / "weights.gguf", "bf16")
