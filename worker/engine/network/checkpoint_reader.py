"""Loads checkpoints whose tensors need no conversion.

transformers' own `from_pretrained` first builds tables for converting other weights, which took half a second
of a worker's start (docs/results/performance.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoConfig
from transformers.initialization import no_init_weights


def load_checkpoint(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """A network in `dtype` for inference on a CPU; `kind` is an auto class such as AutoModel.

    The files must use the names of the network's own tensors; other tensors are ignored. Raises RuntimeError
    if a tensor is missing.
    """
    config = AutoConfig.from_pretrained(folder)
    with no_init_weights():
        network = kind.from_config(config, dtype=dtype)
    tensors = {
        name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()
    }
    missing_keys = network.load_state_dict(tensors, strict=False, assign=True).missing_keys
    missing_names = sorted(set(missing_keys) - set(network.all_tied_weights_keys))
    if missing_names:
        raise RuntimeError(f"the weights in {folder} lack {', '.join(missing_names[:3])}")
    network.tie_weights()
    return network.eval()
