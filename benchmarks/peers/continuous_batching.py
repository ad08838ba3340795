"""Peer: transformers' continuous batching (`generate_batch`) with a grammar constraint.

`generate_batch` takes no logits processor from its caller, and shows those of `generate` only the last token.
The grammar processor is therefore registered as a continuous-batching processor, which sees each request's
state.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.generation.continuous_batching.cb_logits_processors import (
    CLASSIC_TO_CB_PROCESSORS_MAP,
    ContinuousBatchingLogitsProcessor,
)

from benchmarks.comparison.workload import BenchmarkPrompt, GeneratedAnswer
from benchmarks.peers.llguidance_processor import GrammarMasks
from benchmarks.peers.transformers_model import TransformersModel
from benchmarks.peers.tuning import fastest_choice

CHOICES = tuple(
    {"rows": rows, "batch_tokens": tokens, "page_tokens": page}
    for rows, tokens, page in ((8, 512, 32), (32, 512, 32), (32, 2_048, 32), (32, 2_048, 256))
)
CACHE_TOKENS = 65_536
"""1.5 GB for SmolLM2-135M: more than the rows can fill."""


class ContinuousBatching:
    """Uses the manager of `generate_batch`, so that each request has its own token limit."""

    name = "continuous"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tuning: dict[str, Any] = dict(CHOICES[0])

    def prepare(self, sample: Sequence[BenchmarkPrompt]) -> None:
        self._loaded = TransformersModel.of(self._folder)
        self.answer(sample[:2])
        self.tuning = fastest_choice(self, CHOICES, sample)

    def answer(self, prompts: Sequence[BenchmarkPrompt]) -> list[GeneratedAnswer]:
        end, network = self._loaded.end_token, self._loaded.network
        prompt_tokens = [self._loaded.chat.encode(prompt.prompt).tokens for prompt in prompts]
        network._get_logits_processor = lambda *_given, **_options: LogitsProcessorList(
            [_GrammarProcessor(self._loaded.vocabulary, prompts)]
        )
        config = GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=end, max_new_tokens=1_024)
        with network.continuous_batching_context_manager(
            generation_config=config, continuous_batching_config=self._config()
        ) as manager:
            # Sorted as generate_batch does, so that prompts with the same prefix find it in the cache.
            for index in sorted(range(len(prompts)), key=prompt_tokens.__getitem__, reverse=True):
                manager.add_request(
                    prompt_tokens[index], str(index), prompts[index].max_tokens, eos_token_id=end
                )
            answers = dict(self._results(manager, len(prompts)))
        return [answers[index] for index in range(len(prompts))]

    def clear_caches(self) -> None:
        """Keeps nothing between rounds."""

    def close(self) -> None:
        del self._loaded

    def _config(self) -> ContinuousBatchingConfig:
        return ContinuousBatchingConfig(
            page_size=self.tuning["page_tokens"],
            num_blocks=CACHE_TOKENS // self.tuning["page_tokens"],
            max_batch_tokens=self.tuning["batch_tokens"],
            max_requests_per_batch=self.tuning["rows"],
            per_request_processors=True,
        )

    def _results(self, manager: Any, count: int) -> list[tuple[int, GeneratedAnswer]]:
        """Raises RuntimeError when a request fails or the manager stops."""
        answers: list[tuple[int, GeneratedAnswer]] = []
        while len(answers) < count:
            result = manager.get_result(timeout=1)
            if result is None:
                if not manager.is_running():
                    raise RuntimeError("the thread of generate_batch ended")
                continue
            if result.error is not None:
                raise RuntimeError(result.error)
            if result.is_finished():
                own = [token for token in result.generated_tokens if token != self._loaded.end_token]
                answers.append(
                    (int(result.request_id), GeneratedAnswer(self._loaded.chat.decode(own), len(own)))
                )
        return answers


class _GrammarProcessor(LogitsProcessor):
    """Carries the grammars; continuous batching replaces it by `_ContinuousGrammarProcessor`."""

    def __init__(self, vocabulary: GrammarMasks, prompts: Sequence[BenchmarkPrompt]) -> None:
        self.vocabulary = vocabulary
        self.prompts = prompts


class _ContinuousGrammarProcessor(ContinuousBatchingLogitsProcessor):
    """Grammar masks of the current batch, made while it is prepared, when each request's tokens are known."""

    supported_kwargs: dict[str, type] = {}
    ignored_kwargs: tuple[str, ...] = ()

    def __init__(self, constrained: _GrammarProcessor) -> None:
        self._vocabulary = constrained.vocabulary
        self._asked = constrained.prompts
        self._matchers: dict[str, Any] = {}
        self._num_consumed: dict[str, int] = {}
        self._rows: list[tuple[Any, int]] = []

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> torch.Tensor:
        self._rows = [
            (self._matcher(request.state), row) for row, request in enumerate(requests_with_new_token)
        ]
        return torch.zeros(len(self._rows), dtype=torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        return self._vocabulary.mask(scores, self._rows)

    def _matcher(self, state: Any) -> Any:
        """The request's grammar matcher, advanced by the tokens it has generated since."""
        name = state.request_id
        if name not in self._matchers:
            self._matchers[name] = self._vocabulary.matcher(self._asked[int(name)].lark)
        tokens = state.generated_tokens
        for token in tokens[self._num_consumed.get(name, 0) :]:
            self._matchers[name].consume_token(token)
        self._num_consumed[name] = len(tokens)
        return self._matchers[name]


CLASSIC_TO_CB_PROCESSORS_MAP[_GrammarProcessor] = _ContinuousGrammarProcessor
