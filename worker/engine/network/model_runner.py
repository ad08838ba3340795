"""Runs batches through a transformers network, with our own attention and KV cache.

The chunks of a batch are packed into one sequence without padding between them. Does not import prompts or
grammars.
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
    """ModelRunner over a transformers network."""

    def __init__(
        self, network: AdaptableNetwork, device: torch.device, *, max_tokens: int = sys.maxsize
    ) -> None:
        """`max_tokens`: cached tokens that fit by the memory plan."""
        _register_attention()
        config = network.plain.config
        heads: int = config.num_attention_heads
        self._network = network
        self._head = network.plain.get_output_embeddings()
        self._device = device
        self._num_grouped_heads: int = heads // config.num_key_value_heads
        size: int = getattr(config, "head_dim", None) or config.hidden_size // heads
        self._has_kernel = _has_kernel(device, heads, config.num_key_value_heads, size)
        self._graphs = CudaGraphs(device) if self._has_kernel else None
        self._two_core_executor = (
            TwoCoreExecutor() if device.type == "cpu" and torch.get_num_threads() == 2 else None
        )
        self._cache = KvCache(
            num_layers=config.num_hidden_layers,
            key_heads=config.num_key_value_heads,
            size=size,
            device=device,
            max_tokens=max_tokens,
        )
        # The block of keys that holds the end of the last prefix may reach this far beyond it.
        self._padding_tokens = KEY_BLOCK if device.type == "cpu" else 0
        self.vocabulary_size: int = self._head.weight.shape[0]
        # Sliding-window attention equals plain attention within its window, which limits a sequence.
        self.context_tokens: int = getattr(config, "sliding_window", None) or config.max_position_embeddings

    def run(self, batch: ForwardBatch) -> Logits:
        """The logits of each continuation in the batch at its logit indexes. Raises OutOfMemoryError."""
        try:
            with torch.inference_mode():
                self._cache.make_room(
                    shared_tokens=batch.shared_tokens + self._padding_tokens,
                    num_slots=batch.num_slots,
                    slot_tokens=batch.slot_tokens,
                )
                self._cache.copy(batch.copies)
                adapter_chunks, plain_chunks = split_by_adapter(batch)
                return self._pass(adapter_chunks, uses_adapter=True) | self._pass(
                    plain_chunks, uses_adapter=False
                )
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
        halves = [chunks] if self._two_core_executor is None else split_in_halves(chunks)
        packed_chunks = [chunk for half in halves for chunk in half]
        hidden = self._hidden(halves, uses_adapter=uses_adapter)
        results: Logits = {}
        for columns, members in group_by_columns(packed_chunks).items():
            # One product for all continuations with the same columns reads the output layer once.
            selected = hidden[[index for _, indexes in members for index in indexes]]
            counts = [len(indexes) for _, indexes in members]
            logits = np.split(self._logits(selected, columns), np.cumsum(counts)[:-1])
            results |= zip((continuation for continuation, _ in members), logits, strict=True)
        return results

    def _hidden(self, halves: Sequence[Sequence[ScheduledChunk]], *, uses_adapter: bool) -> torch.Tensor:
        """Hidden states of the tokens whose logits are requested, in order of the halves: [tokens, hidden
        size]."""
        body = self._network.body(uses_adapter=uses_adapter and self._network.has_adapter)
        if self._graphs is not None:
            generation = self._cache.generation
            forward = partial(self._forward, body)
            hidden_states = self._graphs.run(
                halves[0], uses_adapter=uses_adapter, generation=generation, forward=forward
            )
            if hidden_states is not None:
                return hidden_states[output_indexes(halves[0])]
        if self._two_core_executor is None or len(halves) == 1:
            return self._compute(body, halves[0])
        return torch.cat(self._two_core_executor.run(halves, partial(self._compute, body)))

    def _compute(
        self, body: Any, chunks: Sequence[ScheduledChunk], rendezvous: Rendezvous | None = None
    ) -> torch.Tensor:
        tokens = [token for chunk in chunks for token in chunk.sequence.tokens[chunk.start : chunk.stop]]
        position_ids = [
            position for chunk in chunks for position in chunk.sequence.position_ids(chunk.start, chunk.stop)
        ]
        # Padding belongs to no chunk: nothing attends to it, and its output is not used.
        padding = [0] * (padded_rows(len(tokens), self._device) - len(tokens))
        outputs = output_indexes(chunks)
        padded_outputs = outputs + [0] * (padded_rows(max(1, len(outputs)), self._device) - len(outputs))
        layout = layout_of(chunks, self._num_grouped_heads, self._device, has_kernel=self._has_kernel)
        if len(padded_outputs) < len(tokens + padding):
            layout = replace(layout, output_index=torch.tensor(padded_outputs, device=self._device))
        ids, positions = (
            torch.tensor([values + padding], device=self._device) for values in (tokens, position_ids)
        )
        hidden = self._forward(body, ids, positions, layout, rendezvous)
        return hidden[: len(outputs)] if layout.output_index is not None else hidden[outputs]

    def _forward(
        self,
        body: Any,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        layout: BatchLayout,
        rendezvous: Rendezvous | None = None,
    ) -> torch.Tensor:
        """tokens, positions: [1, number]; returns [number, hidden size], for the output index of the layout.

        `rendezvous`: set if the other half of the batch is computed at the same time with the same caches.
        """

        def attend(layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            self._cache.store(layer, key, value, layout)
            if rendezvous is not None:
                rendezvous()
            return self._cache.attend(layer, query, key, value, layout)

        options = {"notemill_attend": attend, "notemill_wanted": layout.output_index}
        output = body(input_ids=tokens, position_ids=positions, use_cache=False, **options)
        hidden: torch.Tensor = output.last_hidden_state[0]
        has_all_tokens = len(hidden) == tokens.shape[1]  # layers that are not fused compute all tokens
        return hidden if layout.output_index is None or not has_all_tokens else hidden[layout.output_index]

    def _logits(self, hidden: torch.Tensor, columns: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """The output layer, a fifth of a small network's work, for the requested columns only."""
        output = F.linear(hidden, self._head.weight[list(columns)]) if columns else self._packed_head(hidden)
        logits: npt.NDArray[np.float32] = output.float().cpu().numpy()
        return logits

    @cached_property
    def _packed_head(self) -> PackedLinear:
        """Created at the first generation: on a CPU a packed copy of the embeddings."""
        return PackedLinear(self._head.weight)


def _has_kernel(device: torch.device, heads: int, key_heads: int, size: int) -> bool:
    """True if `worker.engine.attention.decode_kernel` works on this device."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    from worker.engine.attention import decode_kernel

    return decode_kernel.is_working(device, heads, key_heads, size)


def _register_attention() -> None:
    """Registers our attention with transformers; it calls the function that is passed as
    `notemill_attend`."""

    def attention(
        module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, _mask: None, **options: Any
    ) -> tuple[torch.Tensor, None]:
        packed = [tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value)]
        output: torch.Tensor = options["notemill_attend"](module.layer_idx, *packed)
        return output[None], None

    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, lambda *_args, **_options: None)
