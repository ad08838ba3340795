"""The default engine: transformers weights, NF4 by bitsandbytes, an optional peft adapter.

Holds the network and its cache of keys and values; the only module besides `worker.weights` that
imports torch. Rows of a step go through the network packed one after another, without padding.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812  the name all of torch's own documentation uses
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from models.settings import Settings
from worker.batching import BatchedEngine, OutOfMemoryError
from worker.chat import Chat
from worker.grammar import Grammars
from worker.scheduling import Row, Segment, Step
from worker.weights import adapter_folder, prepared_folder

_SLOT_ROUNDING = 256
_ROW_ROUNDING = 8


def load(settings: Settings) -> BatchedEngine:
    """The engine that the settings name, weights in memory. Takes seconds; call it once a process.

    Raises NotemillError where the weights are not there.
    """
    folder = prepared_folder(settings)
    device = torch.device(
        "cuda"
        if settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
        else "cpu"
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = load_network(folder, settings, device)
    runner = TransformersRunner(network, device, max_tokens=settings.max_batch_tokens)
    return BatchedEngine(
        runner,
        Chat(tokenizer),
        Grammars(tokenizer, runner.vocabulary_size),
        max_rows=settings.max_batch_rows,
        max_tokens=runner.max_tokens,
    )


def load_network(folder: Path, settings: Settings, device: torch.device) -> Any:
    """The weights of a prepared folder with the adapter on them, ready for inference."""
    options: dict[str, Any] = {"dtype": torch.bfloat16, "device_map": {"": device}}
    if settings.quantization == "nf4" and not _is_quantized(folder):
        options["quantization_config"] = nf4()
    network = AutoModelForCausalLM.from_pretrained(folder, **options)
    adapter = adapter_folder(settings)
    if adapter is not None:
        from peft import PeftModel

        network = PeftModel.from_pretrained(network, adapter)
    return network.eval()


def nf4() -> BitsAndBytesConfig:
    """4-bit NormalFloat with double quantization (QLoRA, arXiv 2305.14314), bf16 arithmetic."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


class TransformersRunner:
    """Runs steps. The cache: a tensor a layer for keys, one for values: [rows, heads, tokens, size]."""

    def __init__(self, network: Any, device: torch.device, *, max_tokens: int = 0) -> None:
        """`max_tokens`: cached tokens of all rows together; 0: as many as memory affords."""
        _register_attention()
        self._adapter = network.base_model if hasattr(network, "peft_config") else None
        network = network.get_base_model() if self._adapter else network
        network.config._attn_implementation = "notemill"
        config = network.config
        self._body = network.model
        self._head = network.get_output_embeddings()
        self._device = device
        self._heads: int = config.num_key_value_heads
        self._head_size: int = (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )
        self._num_layers: int = config.num_hidden_layers
        self._is_adapter_on = True
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
                for copy in step.copies:
                    self._copy_beginning(copy.from_slot, copy.to_slot, copy.num_tokens)
                return self._forward(step)
        except (torch.OutOfMemoryError, MemoryError):
            self._keys, self._values = [], []
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            raise OutOfMemoryError from None

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, plan: _Plan
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
        if self._adapter is None:
            return self._pass(step.segments)
        found: dict[Row, npt.NDArray[np.float32]] = {}
        for is_adapted in (True, False):
            segments = [segment for segment in step.segments if segment.row.is_adapted == is_adapted]
            if segments:
                self._switch(self._adapter, is_adapted)
                found |= zip((segment.row for segment in segments), self._pass(segments), strict=True)
        return [found[segment.row] for segment in step.segments]

    def _switch(self, adapter: Any, is_adapted: bool) -> None:
        if is_adapted != self._is_adapter_on:
            (adapter.enable_adapter_layers if is_adapted else adapter.disable_adapter_layers)()
            self._is_adapter_on = is_adapted

    def _pass(self, segments: Sequence[Segment]) -> list[npt.NDArray[np.float32]]:
        tokens = [token for segment in segments for token in segment.row.tokens[segment.start : segment.stop]]
        positions = [place for segment in segments for place in range(segment.start, segment.stop)]
        hidden = self._body(
            input_ids=torch.tensor([tokens], device=self._device),
            position_ids=torch.tensor([positions], device=self._device),
            use_cache=False,
            notemill_runner=self,
            notemill_plan=_Plan.of(segments, self._device),
        ).last_hidden_state[0]
        wanted, counts, offset = [], [], 0
        for segment in segments:
            inside = [
                offset + place - segment.start
                for place in segment.row.wanted
                if segment.start <= place < segment.stop
            ]
            wanted += inside
            counts.append(len(inside))
            offset += segment.num_tokens
        asked = hidden[torch.tensor(wanted, dtype=torch.long, device=self._device)]
        return np.split(self._head(asked).float().cpu().numpy(), np.cumsum(counts)[:-1])

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


@dataclass(frozen=True, slots=True)
class _Piece:
    """A segment's place in the packed tokens and in the cache."""

    offset: int
    slot: int
    start: int
    stop: int
    mask: torch.Tensor | None
    """Shape [tokens, stop]; none where the piece begins its row and plain causality holds."""

    @property
    def num_tokens(self) -> int:
        return self.stop - self.start

    @property
    def is_single(self) -> bool:
        return self.num_tokens == 1


@dataclass(frozen=True, slots=True)
class _Plan:
    """A step's geometry, made once and used by every layer. Single tokens are attended side by side."""

    pieces: tuple[_Piece, ...]
    single_offsets: torch.Tensor | None
    single_slots: torch.Tensor | None
    single_mask: torch.Tensor | None
    num_slots: int
    longest: int

    @staticmethod
    def of(segments: Sequence[Segment], device: torch.device) -> _Plan:
        pieces, offset = [], 0
        for segment in segments:
            pieces.append(_piece(segment, offset, device))
            offset += segment.num_tokens
        single = [piece for piece in pieces if piece.is_single]
        if not single:
            return _Plan(tuple(pieces), None, None, None, 0, 0)
        num_slots = max(piece.slot for piece in single) + 1
        longest = max(piece.stop for piece in single)
        reach = torch.ones(num_slots, dtype=torch.long)
        for piece in single:
            reach[piece.slot] = piece.stop
        mask = (torch.arange(longest)[None, :] < reach[:, None])[:, None, None, :]
        return _Plan(
            tuple(pieces),
            torch.tensor([piece.offset for piece in single], device=device),
            torch.tensor([piece.slot for piece in single], device=device),
            mask.to(device),
            num_slots,
            longest,
        )


def _piece(segment: Segment, offset: int, device: torch.device) -> _Piece:
    start, stop = segment.start, segment.stop
    mask = None
    if start > 0 and stop - start > 1:
        mask = torch.ones((stop - start, stop), dtype=torch.bool, device=device).tril(start)
    return _Piece(offset, segment.row.slot, start, stop, mask)


def _attend_many(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    return F.scaled_dot_product_attention(
        query, keys, values, attn_mask=mask, is_causal=mask is None, enable_gqa=True
    )


def _rounded_up(number: int, step: int) -> int:
    return -(-number // step) * step


def _is_quantized(folder: Path) -> bool:
    return "quantization_config" in json.loads((folder / "config.json").read_text("utf-8"))


def _register_attention() -> None:
    """Makes `notemill` an attention of transformers: the runner, handed down as an argument, does it."""

    def attention(
        module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, _mask: None, **options: Any
    ) -> tuple[torch.Tensor, None]:
        runner: TransformersRunner = options["notemill_runner"]
        out = runner.attend(module.layer_idx, query, key, value, options["notemill_plan"])
        return out.transpose(1, 2), None

    ALL_ATTENTION_FUNCTIONS.register("notemill", attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register("notemill", lambda *_args, **_options: None)
