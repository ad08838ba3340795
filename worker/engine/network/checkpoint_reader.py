"""Networks from weights as they are computed with: what is in the files, and nothing to be converted.

transformers' own `from_pretrained` makes its tables of how other weights are converted first, which took
half a second of a worker's start (docs/results/performance.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoConfig
from transformers.initialization import no_init_weights


def load_checkpoint(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """A network of `kind`, AutoModel say, whose files have its own names, in `dtype`, for inference on a CPU.

    Raises RuntimeError where the files lack what the network has; what they have besides is left out.
    """
    config = AutoConfig.from_pretrained(folder)
    with no_init_weights():
        network = kind.from_config(config, dtype=dtype)
    found = {name: one for file in folder.glob("*.safetensors") for name, one in load_file(file).items()}
    missing = network.load_state_dict(found, strict=False, assign=True).missing_keys
    lacking = sorted(set(missing) - set(network.all_tied_weights_keys))
    if lacking:
        raise RuntimeError(f"the weights in {folder} lack {', '.join(lacking[:3])}")
    network.tie_weights()
    return network.eval()
