"""Sizes of a run on a GPU, and of a trial run on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.machine.machine_peaks import ARRAY_BYTES
from benchmarks.memory import SMALL
from benchmarks.roofline import NOTE_TOKENS, NOTES
from worker.engine.batching.scheduler import MAX_FORWARD_TOKENS
from worker.engine.memory.model_shape import MISTRAL_7B


@dataclass(frozen=True, slots=True)
class RunSizes:
    """Sizes of all parts."""

    config: Mapping[str, Any]
    """Configuration of the network as transformers takes it."""
    step_tokens: tuple[int, ...]
    num_continuations: tuple[int, ...]
    full_step: int
    """Tokens of the largest forward batch."""
    rounds: int
    """Timed runs of each batch; the median counts."""
    notes: int
    step_notes: int
    """Notes that fill a forward batch."""
    note_tokens: int
    windows: int
    """Windows scored through the engine, at most: an H100 took four a second."""
    threads: int
    square: int
    array_bytes: int
    cached_tokens: int
    """Limit of cached tokens, except where the memory plan itself is measured."""


REAL = RunSizes(
    config=MISTRAL_7B,
    step_tokens=(512, 1_024, 2_048, 4_096),
    num_continuations=(1, 2, 4, 8, 16, 32, 64),
    full_step=MAX_FORWARD_TOKENS,
    rounds=7,
    notes=32,
    step_notes=NOTES,
    note_tokens=NOTE_TOKENS,
    windows=40,
    threads=16,
    square=8_192,
    array_bytes=2**31,
    cached_tokens=65_536,
)
SHRUNKEN = RunSizes(
    config=SMALL
    | {"vocab_size": 32_768, "hidden_size": 128, "intermediate_size": 448, "num_hidden_layers": 1}
    | {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 64},
    step_tokens=(64, 128),
    num_continuations=(1, 8),
    full_step=256,
    rounds=1,
    notes=1,
    step_notes=1,
    note_tokens=60,
    windows=1,
    threads=2,
    square=256,
    array_bytes=ARRAY_BYTES // 64,
    cached_tokens=6_144,
)
"""Small, because 4-bit products are slow on a CPU."""
