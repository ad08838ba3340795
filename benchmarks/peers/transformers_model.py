"""A transformers network with its tokenizer, and `generate` on a padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessorList, StoppingCriteriaList

from benchmarks.comparison.workload import BenchmarkPrompt, GeneratedAnswer
from benchmarks.peers.llguidance_processor import GenerationConstraint, GrammarMasks
from worker.engine.prompting.chat_template import Chat


@dataclass(frozen=True, slots=True)
class TransformersModel:
    """Network, tokenizer and grammar masks; shared by the peers that run on transformers."""

    network: Any
    chat: Chat
    vocabulary: GrammarMasks

    @staticmethod
    def of(folder: Path) -> TransformersModel:
        network = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16, attn_implementation="sdpa"
        ).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return TransformersModel(network, Chat(tokenizer), GrammarMasks(tokenizer, network.config.vocab_size))

    @property
    def end_token(self) -> int:
        return int(self.chat.tokenizer.eos_token_id)

    def generate(self, prompts: Sequence[BenchmarkPrompt]) -> list[GeneratedAnswer]:
        """Greedy answers of one left-padded batch; rows that end early are padded until the last one ends."""
        prompt_tokens = [self.chat.encode(prompt.prompt).tokens for prompt in prompts]
        longest = max(map(len, prompt_tokens))
        ids = torch.tensor([[self.end_token] * (longest - len(row)) + row for row in prompt_tokens])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in prompt_tokens])
        constraint = GenerationConstraint(self.vocabulary, prompts)
        with torch.inference_mode():
            generated = self.network.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max(prompt.max_tokens for prompt in prompts),
                do_sample=False,
                pad_token_id=self.end_token,
                logits_processor=LogitsProcessorList([constraint.process]),
                stopping_criteria=StoppingCriteriaList([constraint.is_done]),
            )
        return [self._answer(tokens) for tokens in generated[:, longest:].tolist()]

    def _answer(self, tokens: list[int]) -> GeneratedAnswer:
        own = tokens[: tokens.index(self.end_token)] if self.end_token in tokens else tokens
        return GeneratedAnswer(self.chat.decode(own), len(own), tuple(own))
