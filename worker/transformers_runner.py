"""Runs the scheduler's steps through a transformers network, with a cache of keys and values of its own.

Rows of a step go through the network packed one after another, without padding; attention is ours and
looks up each row's cache. Knows no text, no prompts and no grammar.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  the name all of torch's own documentation uses
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from worker.batching import OutOfMemoryError
from worker.networks import ATTENTION, Networks
from worker.packing import Plan, by_columns
from worker.scheduling import Row, Segment, Step

_SLOT_ROUNDING = 256
_ROW_ROUNDING = 8


class TransformersRunner:
    """Runs steps. The cache: a tensor a layer for keys, one for values: [rows, heads, tokens, size]."""

    def __init__(self, networks: Networks, device: torch.device, *, max_tokens: int = 0) -> None:
        """`max_tokens`: cached tokens of all rows together; 0: as many as memory affords."""
        _register_attention()
        config = networks.plain.config
        self._networks = networks
        self._head = networks.plain.get_output_embeddings()
        self._device = device
        self._heads: int = config.num_key_value_heads
        self._head_size: int = (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )
        self._num_layers: int = config.num_hidden_layers
        self._keys: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []
        self.vocabulary_size: int = self._head.weight.shape[0]
        # Within its window a sliding attention is the plain one, so that is how far a row may go.
        self.context_tokens: int = getattr(config, "sliding_window", None) or config.max_position_embeddings
        self.max_tokens = max_tokens or self._affordable_tokens()

    @property
    def cache_bytes_per_token(self) -> int:
        """Keys and values of all layers in bf16: Mistral 7B 131,072; SmolLM2-135M 23,040."""
        return 2 * self._num_layers * self._heads * self._head_size * 2

    def _affordable_tokens(self) -> int:
        """Cached tokens that fit: 80 % of the free memory of a GPU, else at most 2 GiB of RAM."""
        if self._device.type == "cuda":
            free = int(torch.cuda.mem_get_info(self._device)[0] * 0.8)
        else:
            free = 2 * 2**30
        return free // self.cache_bytes_per_token

    def run(self, step: Step) -> list[npt.NDArray[np.float32]]:
        """Logits at the wanted indexes of each segment. Raises OutOfMemoryError."""
        try:
            with torch.inference_mode():
                self._make_room(step)
                for one in step.copies:
                    self._copy_beginning(one.from_slot, one.to_slot, one.num_tokens)
                return self._forward(step)
        except (torch.OutOfMemoryError, MemoryError):
            self._keys, self._values = [], []
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            raise OutOfMemoryError from None

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, plan: Plan
    ) -> torch.Tensor:
        """Attention of packed tokens, each over its own row's cache; shapes [1, heads, tokens, size]."""
        keys, values = self._keys[layer], self._values[layer]
        out = torch.empty_like(query)
        for piece in plan.pieces:
            here = slice(piece.offset, piece.offset + piece.num_tokens)
            keys[piece.slot, :, piece.start : piece.stop] = key[0, :, here]
            values[piece.slot, :, piece.start : piece.stop] = value[0, :, here]
            if not piece.is_single:
                out[:, :, here] = _attend_many(
                    query[:, :, here],
                    keys[piece.slot, None, :, : piece.stop],
                    values[piece.slot, None, :, : piece.stop],
                    piece.mask,
                )
        if plan.single_offsets is not None:
            singles = query[0, :, plan.single_offsets].transpose(0, 1)
            grouped = singles.view(len(plan.single_offsets), self._heads, -1, self._head_size)
            reach = slice(0, plan.longest)
            rows = slice(0, plan.num_slots)
            padded = grouped.new_zeros((plan.num_slots, *grouped.shape[1:]))
            padded[plan.single_slots] = grouped
            found = F.scaled_dot_product_attention(
                padded, keys[rows, :, reach], values[rows, :, reach], attn_mask=plan.single_mask
            )
            out[0, :, plan.single_offsets] = found[plan.single_slots].flatten(1, 2).transpose(0, 1)
        return out

    def _forward(self, step: Step) -> list[npt.NDArray[np.float32]]:
        """With and without the adapter are two passes; each segment's logits stand in its place."""
        found: dict[Row, npt.NDArray[np.float32]] = {}
        for is_adapted in (True, False):
            segments = [one for one in step.segments if one.row.is_adapted == is_adapted]
            if segments:
                body = self._networks.body(is_adapted=is_adapted and self._networks.has_adapter)
                found |= zip((one.row for one in segments), self._pass(body, segments), strict=True)
        return [found[segment.row] for segment in step.segments]

    def _pass(self, body: Any, segments: Sequence[Segment]) -> list[npt.NDArray[np.float32]]:
        tokens = [token for segment in segments for token in segment.row.tokens[segment.start : segment.stop]]
        positions = [place for segment in segments for place in range(segment.start, segment.stop)]
        hidden = body(
            input_ids=torch.tensor([tokens], device=self._device),
            position_ids=torch.tensor([positions], device=self._device),
            use_cache=False,
            notemill_runner=self,
            notemill_plan=Plan.of(segments, self._device),
        ).last_hidden_state[0]
        found = [np.empty((0, 0), np.float32)] * len(segments)
        for columns, members in by_columns(segments).items():
            # One product for all rows that ask for the same columns: the output layer is read once.
            counts = [len(inside) for _, inside in members]
            together = hidden[[place for _, inside in members for place in inside]]
            parts = np.split(self._logits(together, columns), np.cumsum(counts)[:-1])
            for (index, _), part in zip(members, parts, strict=True):
                found[index] = part
        return found

    def _logits(self, hidden: torch.Tensor, columns: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """The output layer, a fifth of a small network's work, for the asked columns only."""
        weight = self._head.weight[list(columns)] if columns else self._head.weight
        logits: npt.NDArray[np.float32] = F.linear(hidden, weight).float().cpu().numpy()
        return logits

    def _make_room(self, step: Step) -> None:
        """Gives the cache the step's rows and tokens, keeping what is in it.

        It grows in both directions until that would pass the budget; then it takes the shape needed now.
        """
        have_rows, _, have_tokens, _ = self._keys[0].shape if self._keys else (0, 0, 0, 0)
        if have_rows >= step.num_slots and have_tokens >= step.slot_tokens:
            return
        rows = _rounded_up(step.num_slots, _ROW_ROUNDING)
        length = _rounded_up(step.slot_tokens, _SLOT_ROUNDING)
        if max(rows, have_rows) * max(length, have_tokens) <= self.max_tokens:
            rows, length = max(rows, have_rows), max(length, have_tokens)
        kept = (slice(0, min(rows, have_rows)), slice(None), slice(0, min(length, have_tokens)))
        shape = (rows, self._heads, length, self._head_size)
        for caches in (self._keys, self._values):
            for layer in range(self._num_layers):
                tensor = torch.zeros(shape, dtype=torch.bfloat16, device=self._device)
                if len(caches) > layer:
                    tensor[kept] = caches[layer][kept]
                    caches[layer] = tensor
                else:
                    caches.append(tensor)

    def _copy_beginning(self, from_slot: int, to_slot: int, num_tokens: int) -> None:
        for caches in (self._keys, self._values):
            for tensor in caches:
                tensor[to_slot, :, :num_tokens] = tensor[from_slot, :, :num_tokens]


def _attend_many(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    return F.scaled_dot_product_attention(
        query, keys, values, attn_mask=mask, is_causal=mask is None, enable_gqa=True
    )


def _rounded_up(number: int, step: int) -> int:
    return -(-number // step) * step


def _register_attention() -> None:
    """Makes ours an attention of transformers: the runner, handed down as an argument, does it."""

    def attention(
        module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, _mask: None, **options: Any
    ) -> tuple[torch.Tensor, None]:
        runner: TransformersRunner = options["notemill_runner"]
        out = runner.attend(module.layer_idx, query, key, value, options["notemill_plan"])
        return out.transpose(1, 2), None

    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, lambda *_args, **_options: None)
