"""Linear layers for a CPU in bf16, their weights laid out for its instructions once, at load.

torch lays a plain weight out anew for each product of few rows: 0.30 against 0.12 ms for 4 rows of 576 by
1,536, 0.46 against 0.33 for 32, 19.4 against 18.0 for 2,048, with the same numbers to the last bit. The
operators are those that torch.compile puts in the place of linear layers when it freezes a network
(torch/_inductor/fx_passes/mkldnn_fusion.py, torch 2.13).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  the name all of torch's own documentation uses
from torch import nn

_ROWS = 128
"""For which the layout is asked; those for 1 to 1,024 rows were equally fast on all of them."""


class Product(nn.Module):
    """`rows @ weight.T`; takes the weight [outputs, inputs] over where it can lay it out."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.nbytes: int = weight.nbytes
        self._outputs: int = weight.shape[0]
        self._is_laid_out = can_lay_out(weight)
        # No parameter and no buffer: what is laid out can neither be moved nor saved.
        self._weight: Any = weight.detach()
        if self._is_laid_out:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight.contiguous(), _ROWS)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """rows: [..., inputs]; out: [..., outputs]."""
        if not self._is_laid_out:
            return F.linear(rows, self._weight)
        flat = rows.reshape(-1, rows.shape[-1])
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(flat, self._weight, None, "none", [], "")
        return found.view(*rows.shape[:-1], self._outputs)


def can_lay_out(weight: torch.Tensor) -> bool:
    """bf16 on a CPU that has products for it, with a torch that was built with oneDNN."""
    return (
        weight.device.type == "cpu"
        and weight.dtype is torch.bfloat16
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
