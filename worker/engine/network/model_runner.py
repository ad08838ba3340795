"""Runs the scheduler's steps through a transformers network, with caches of our own.

The pieces of a step go through the network packed one after another, without padding; attention is ours.
Knows no text, no prompts and no grammar.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  the name all of torch's own documentation uses
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from worker.engine.attention.batch_layout import BatchLayout
from worker.engine.attention.batch_packing import (
    group_by_columns,
    layout_of,
    output_indexes,
    split_by_adapter,
)
from worker.engine.attention.cuda_graphs import CudaGraphs
from worker.engine.attention.kv_cache import KvCache
from worker.engine.batching.batched_engine import OutOfMemoryError
from worker.engine.batching.sequences import Continuation, ForwardBatch, ScheduledChunk
from worker.engine.memory.device import is_out_of_memory
from worker.engine.memory.footprint import KEY_BLOCK
from worker.engine.network.linear import PackedLinear, padded_rows
from worker.engine.network.model_loader import ATTENTION, AdaptableNetwork
from worker.engine.network.two_core_split import Rendezvous, TwoCoreExecutor, split_in_halves

Logits = dict[Continuation, npt.NDArray[np.float32]]


class TransformersRunner:
    """Runs steps."""

    def __init__(
        self, networks: AdaptableNetwork, device: torch.device, *, max_tokens: int = sys.maxsize
    ) -> None:
        """`max_tokens`: the cached ones that the memory plan has room for."""
        _register_attention()
        config = networks.plain.config
        heads: int = config.num_attention_heads
        self._networks = networks
        self._head = networks.plain.get_output_embeddings()
        self._device = device
        self._shared_heads: int = heads // config.num_key_value_heads
        size: int = getattr(config, "head_dim", None) or config.hidden_size // heads
        self._has_kernel = _has_kernel(device, heads, config.num_key_value_heads, size)
        self._graphs = CudaGraphs(device) if self._has_kernel else None
        self._lanes = TwoCoreExecutor() if device.type == "cpu" and torch.get_num_threads() == 2 else None
        self._cache = KvCache(
            num_layers=config.num_hidden_layers,
            key_heads=config.num_key_value_heads,
            size=size,
            device=device,
            max_tokens=max_tokens,
        )
        # As far as the block of keys may reach that the end of the last beginning lies in.
        self._beyond = KEY_BLOCK if device.type == "cpu" else 0
        self.vocabulary_size: int = self._head.weight.shape[0]
        # Within its window a sliding attention is the plain one, so that is how far a row may go.
        self.context_tokens: int = getattr(config, "sliding_window", None) or config.max_position_embeddings

    def run(self, batch: ForwardBatch) -> Logits:
        """For each branch of the step the logits at its wanted indexes. Raises OutOfMemoryError."""
        try:
            with torch.inference_mode():
                self._cache.make_room(
                    shared_tokens=batch.shared_tokens + self._beyond,
                    num_slots=batch.num_slots,
                    slot_tokens=batch.slot_tokens,
                )
                self._cache.copy(batch.copies)
                adapted, plain = split_by_adapter(batch)
                return self._pass(adapted, uses_adapter=True) | self._pass(plain, uses_adapter=False)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._cache.clear()
            if self._graphs is not None:
                self._graphs.clear()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            raise OutOfMemoryError(batch) from None

    def _pass(self, chunks: Sequence[ScheduledChunk], *, uses_adapter: bool) -> Logits:
        if not chunks:
            return {}
        parts = [chunks] if self._lanes is None else split_in_halves(chunks)
        packed = [chunk for part in parts for chunk in part]
        hidden = self._hidden(parts, uses_adapter=uses_adapter)
        found: Logits = {}
        for columns, members in group_by_columns(packed).items():
            # One product for all branches that ask for the same columns: the output layer is read once.
            together = hidden[[place for _, own in members for place in own]]
            counts = [len(own) for _, own in members]
            each = np.split(self._logits(together, columns), np.cumsum(counts)[:-1])
            found |= zip((continuation for continuation, _ in members), each, strict=True)
        return found

    def _hidden(self, parts: Sequence[Sequence[ScheduledChunk]], *, uses_adapter: bool) -> torch.Tensor:
        """[wanted, size of the network]: of the parts' wanted tokens one after another."""
        body = self._networks.body(uses_adapter=uses_adapter and self._networks.has_adapter)
        if self._graphs is not None:
            generation = self._cache.generation
            forward = partial(self._forward, body)
            known = self._graphs.run(
                parts[0], uses_adapter=uses_adapter, generation=generation, forward=forward
            )
            if known is not None:
                return known[output_indexes(parts[0])]
        if self._lanes is None or len(parts) == 1:
            return self._computed(body, parts[0])
        return torch.cat(self._lanes.run(parts, partial(self._computed, body)))

    def _computed(
        self, body: Any, chunks: Sequence[ScheduledChunk], meet: Rendezvous | None = None
    ) -> torch.Tensor:
        tokens = [token for chunk in chunks for token in chunk.sequence.tokens[chunk.start : chunk.stop]]
        places = [place for chunk in chunks for place in chunk.sequence.position_ids(chunk.start, chunk.stop)]
        # What is added belongs to no piece: nothing attends to it, and nothing asks what becomes of it.
        added = [0] * (padded_rows(len(tokens), self._device) - len(tokens))
        wanted = output_indexes(chunks)
        some = wanted + [0] * (padded_rows(max(1, len(wanted)), self._device) - len(wanted))
        layout = layout_of(chunks, self._shared_heads, self._device, has_kernel=self._has_kernel)
        if len(some) < len(tokens + added):
            layout = replace(layout, output_index=torch.tensor(some, device=self._device))
        ids, positions = (torch.tensor([one + added], device=self._device) for one in (tokens, places))
        hidden = self._forward(body, ids, positions, layout, meet)
        return hidden[: len(wanted)] if layout.output_index is not None else hidden[wanted]

    def _forward(
        self,
        body: Any,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        layout: BatchLayout,
        meet: Rendezvous | None = None,
    ) -> torch.Tensor:
        """tokens, positions: [1, number]; returns [number, size of the network], of what the plan wants.

        `meet`: another part of the step is computed beside this one, over the same caches.
        """

        def attend(layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            self._cache.store(layer, key, value, layout)
            if meet is not None:
                meet()
            return self._cache.attend(layer, query, key, value, layout)

        ours = {"notemill_attend": attend, "notemill_wanted": layout.output_index}
        whole = body(input_ids=tokens, position_ids=positions, use_cache=False, **ours)
        hidden: torch.Tensor = whole.last_hidden_state[0]
        is_of_all = len(hidden) == tokens.shape[1]  # as layers that are not ours compute it
        return hidden if layout.output_index is None or not is_of_all else hidden[layout.output_index]

    def _logits(self, hidden: torch.Tensor, columns: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """The output layer, a fifth of a small network's work, for the asked columns only."""
        found = F.linear(hidden, self._head.weight[list(columns)]) if columns else self._whole_head(hidden)
        logits: npt.NDArray[np.float32] = found.float().cpu().numpy()
        return logits

    @cached_property
    def _whole_head(self) -> PackedLinear:
        """Made when something is first written: a copy of the embeddings on a CPU."""
        return PackedLinear(self._head.weight)


def _has_kernel(device: torch.device, heads: int, key_heads: int, size: int) -> bool:
    """Whether branches that write are attended by worker.engine.attention.decode_kernel."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    from worker.engine.attention import decode_kernel

    return decode_kernel.is_working(device, heads, key_heads, size)


def _register_attention() -> None:
    """Makes ours an attention of transformers: a function, handed down as an argument, does it."""

    def attention(
        module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, _mask: None, **options: Any
    ) -> tuple[torch.Tensor, None]:
        packed = [tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value)]
        found: torch.Tensor = options["notemill_attend"](module.layer_idx, *packed)
        return found[None], None

    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, lambda *_args, **_options: None)
