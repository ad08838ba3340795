"""Reference for the engine's scores: transformers computes one masked pass over the sequence, uncached."""

from __future__ import annotations

from typing import Any

import torch

from worker.engine.api import ScoreRequest, ScoreResult, Scores
from worker.engine.batching.request_state import RequestState, encode_request
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.grammar import GrammarCompiler
from worker.telemetry.usage_meter import UsageMeter


def reference_scores(network: Any, request: ScoreRequest, chat: Chat) -> ScoreResult:
    """Scores of a request by a causal network of transformers, on its own device."""
    limit: int = network.config.max_position_embeddings
    grammars = GrammarCompiler(chat.tokenizer, len(chat.tokenizer))
    asked = encode_request(request, chat, grammars, context_tokens=limit, meter=UsageMeter())
    assert isinstance(asked, RequestState)
    tokens, position_ids, seen = _sequence(asked)
    with torch.inference_mode():
        output = network(
            input_ids=torch.tensor([tokens], device=network.device),
            position_ids=torch.tensor([position_ids], device=network.device),
            attention_mask=seen[None, None].to(network.device),
        )
    logits = output.logits[0, -len(asked.copy_tokens) :].float()
    scores = []
    for choice in asked.choices:
        own = logits[list(choice.positions)][:, list(choice.columns)].log_softmax(-1)
        scores.append(Scores(choice.spans, own.cpu().numpy()))
    return ScoreResult(tuple(scores), len(tokens))


def _sequence(asked: RequestState) -> tuple[list[int], list[int], torch.Tensor]:
    """Tokens, position ids and attention mask of the document, the question and the copy."""
    if asked.question_prefix is None:
        whole = [*asked.prefix_tokens, *asked.question_tokens, *asked.copy_tokens]
        return whole, [*range(len(whole))], torch.ones(len(whole), len(whole), dtype=torch.bool).tril()
    head, document = asked.question_prefix.head_tokens, len(asked.prefix_tokens)
    question = asked.question_prefix.tokens[head:]
    tokens = [*asked.prefix_tokens, *question, *asked.copy_tokens]
    after_document = range(
        asked.question_prefix.start_position, asked.question_prefix.start_position + len(tokens) - document
    )
    seen = torch.ones(len(tokens), len(tokens), dtype=torch.bool).tril()
    # A cached question prefix sees only the head of the document.
    seen[document : document + len(question), head:document] = False
    return tokens, [*range(document), *after_document], seen
