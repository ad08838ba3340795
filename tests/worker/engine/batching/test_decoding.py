"""Decoding with draft tokens: forced tokens take one batch, and the network chooses the tokenization."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from tiny import write_tiny_weights
from transformers import AutoTokenizer

from worker.engine.api import GenerateRequest, Prompt
from worker.engine.batching.decoding import accept_tokens, append_draft_tokens
from worker.engine.batching.prefix_cache import PrefixCache
from worker.engine.batching.request_state import RequestState, encode_request
from worker.engine.batching.sequences import MAX_DRAFT_TOKENS
from worker.engine.output_formats import OutputFormat
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.grammar import GrammarCompiler
from worker.telemetry.usage_meter import UsageMeter

TEXT = "Denies fever and cough."


class OneAnswer:
    """An output format with one allowed answer."""

    def lark(self) -> str:
        return f'start: "{TEXT}"'


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return Chat(AutoTokenizer.from_pretrained(write_tiny_weights(tmp_path_factory.mktemp("weights"))))


@pytest.fixture(scope="module")
def grammars(chat):
    return GrammarCompiler(chat.tokenizer, len(chat.tokenizer))


def started_request(chat: Chat, grammars: GrammarCompiler) -> RequestState:
    request = GenerateRequest(
        Prompt("Denies fever.", "Why?"), max_tokens=60, output_format=cast(OutputFormat, OneAnswer())
    )
    state = encode_request(request, chat, grammars, context_tokens=1_000, meter=UsageMeter())
    assert isinstance(state, RequestState)
    state.start(PrefixCache())
    return state


def run_batch(
    state: RequestState, tokenization: list[int], chat: Chat, grammars: GrammarCompiler
) -> dict[str, int]:
    """Runs one batch with a network that prefers this tokenization of the answer."""
    append_draft_tokens(state, 0)
    start = state.num_generated_tokens
    logits = np.zeros((state.num_draft_tokens + 1, len(chat.tokenizer)), np.float32)
    for row, token in enumerate(tokenization[start : start + len(logits)]):
        logits[row, token] = 1.0
    return accept_tokens(state, logits, grammars)


def generated(state: RequestState) -> list[int]:
    assert state.continuation is not None
    return state.continuation.tokens[len(state.question_tokens) :]


def test_forced_tokens_take_one_batch_together(chat, grammars):
    state, tokenization, batches, forced = started_request(chat, grammars), chat.plain(TEXT), 0, 0
    while not state.is_finished:
        forced += run_batch(state, tokenization, chat, grammars)["forced_tokens"]
        batches += 1
    assert generated(state) == tokenization
    assert batches <= -(-len(tokenization) // MAX_DRAFT_TOKENS) + 1
    assert forced >= len(tokenization) - batches


def test_the_network_chooses_the_tokenization(chat, grammars):
    tokenization = [chat.plain(letter)[0] for letter in TEXT]
    assert chat.decode(tokenization) == TEXT
    assert tokenization != chat.plain(TEXT)
    state = started_request(chat, grammars)
    while not state.is_finished:
        run_batch(state, tokenization, chat, grammars)
    assert generated(state) == tokenization


@pytest.mark.parametrize(
    ("tail", "expected"),
    [((3, 1, 2), (3, 1, 2, 3, 1)), ((7, 7, 7), (7, 7, 7, 7, 7)), ((9, 4, 5), (6, 1, 2, 9, 4))],
)
def test_prompt_lookup_continues_repetitions(chat, tail, expected):
    """A match that reaches the end of the tokens repeats from its start."""
    document = (4, 5, 6, 1, 2)
    request = GenerateRequest(Prompt("A note.", "Why?"), max_tokens=60)
    state = encode_request(
        request,
        chat,
        GrammarCompiler(chat.tokenizer, len(chat.tokenizer)),
        context_tokens=1_000,
        meter=UsageMeter(),
    )
    assert isinstance(state, RequestState)
    state.start(PrefixCache())
    assert state.continuation is not None
    state.continuation.tokens.extend((*document, *tail))
    assert append_draft_tokens(state, 5) == 5
    assert tuple(state.continuation.tokens[-5:]) == expected
