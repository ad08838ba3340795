"""llguidance constraint for transformers' `generate`: masks logits before a token and stops rows after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import llguidance
import llguidance.hf
import llguidance.numpy
import numpy as np
import torch

from benchmarks.comparison.workload import BenchmarkPrompt


class GrammarMasks:
    """Makes grammar matchers for a tokenizer, and masks the logits of all rows of a batch in parallel."""

    def __init__(self, tokenizer: Any, size: int) -> None:
        self._tokens = llguidance.hf.from_tokenizer(tokenizer, n_vocab=size)
        self._executor = llguidance.LLExecutor()
        self._size = size

    def matcher(self, lark: str) -> Any:
        compiled = llguidance.LLMatcher.grammar_from_lark(lark)
        return llguidance.LLMatcher(self._tokens, compiled, log_level=0)

    def mask(self, scores: torch.Tensor, matchers: Sequence[tuple[Any, int]]) -> torch.Tensor:
        """Scores [rows, vocabulary] with forbidden tokens set to -inf. `matchers`: (matcher, row)."""
        if not matchers:
            return scores
        bits = llguidance.numpy.allocate_token_bitmask(len(scores), self._size)
        llguidance.numpy.fill_next_token_bitmask_par(self._executor, list(matchers), bits)
        rows = [row for _, row in matchers]
        allowed = np.unpackbits(bits.view(np.uint8)[rows], axis=1, bitorder="little", count=self._size)
        scores[rows] = scores[rows].masked_fill(torch.from_numpy(allowed) == 0, -torch.inf)
        return scores


class GenerationConstraint:
    """Logits processor and stopping criterion of one batch: a grammar matcher and a token limit a row."""

    def __init__(self, vocabulary: GrammarMasks, prompts: Sequence[BenchmarkPrompt]) -> None:
        self._vocabulary = vocabulary
        self._matchers = [vocabulary.matcher(prompt.lark) for prompt in prompts]
        self._remaining_tokens = [prompt.max_tokens for prompt in prompts]

    def process(self, _ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        active = [
            (matcher, row) for row, matcher in enumerate(self._matchers) if self._remaining_tokens[row] > 0
        ]
        return self._vocabulary.mask(scores, active)

    def is_done(self, ids: torch.Tensor, _scores: Any, **_options: Any) -> torch.Tensor:
        """Consumes the newest token of each row; a row ends with its grammar or at its limit."""
        for row, token in enumerate(ids[:, -1].tolist()):
            if self._remaining_tokens[row] > 0:
                self._matchers[row].consume_token(token)
                self._remaining_tokens[row] = (
                    0 if self._matchers[row].is_stopped() else self._remaining_tokens[row] - 1
                )
        return torch.tensor([remaining == 0 for remaining in self._remaining_tokens])
