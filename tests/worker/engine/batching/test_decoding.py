"""Guesses that the grammar forces: a step for all of them; the spelling in tokens is the network's."""

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
    """A form of which an engine wants no more than its grammar."""

    def lark(self) -> str:
        return f'start: "{TEXT}"'


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return Chat(AutoTokenizer.from_pretrained(write_tiny_weights(tmp_path_factory.mktemp("weights"))))


@pytest.fixture(scope="module")
def grammars(chat):
    return GrammarCompiler(chat.tokenizer, len(chat.tokenizer))


def begun(chat: Chat, grammars: GrammarCompiler) -> RequestState:
    request = GenerateRequest(
        Prompt("Denies fever.", "Why?"), max_tokens=60, output_format=cast(OutputFormat, OneAnswer())
    )
    asked = encode_request(request, chat, grammars, context_tokens=1_000, meter=UsageMeter())
    assert isinstance(asked, RequestState)
    asked.start(PrefixCache())
    return asked


def step(asked: RequestState, spelling: list[int], chat: Chat, grammars: GrammarCompiler) -> dict[str, int]:
    """One pass of a network that would spell the answer so."""
    append_draft_tokens(asked, 0)
    start = asked.num_generated_tokens
    logits = np.zeros((asked.num_draft_tokens + 1, len(chat.tokenizer)), np.float32)
    for row, token in enumerate(spelling[start : start + len(logits)]):
        logits[row, token] = 1.0
    return accept_tokens(asked, logits, grammars)


def written(asked: RequestState) -> list[int]:
    assert asked.continuation is not None
    return asked.continuation.tokens[len(asked.question_tokens) :]


def test_forced_tokens_take_one_step_for_all(chat, grammars):
    asked, spelling, steps, forced = begun(chat, grammars), chat.plain(TEXT), 0, 0
    while not asked.is_finished:
        forced += step(asked, spelling, chat, grammars)["forced_tokens"]
        steps += 1
    assert written(asked) == spelling
    assert steps <= -(-len(spelling) // MAX_DRAFT_TOKENS) + 1
    assert forced >= len(spelling) - steps


def test_the_spelling_in_tokens_is_the_networks(chat, grammars):
    spelling = [chat.plain(letter)[0] for letter in TEXT]
    assert chat.decode(spelling) == TEXT
    assert spelling != chat.plain(TEXT)
    asked = begun(chat, grammars)
    while not asked.is_finished:
        step(asked, spelling, chat, grammars)
    assert written(asked) == spelling


@pytest.mark.parametrize(
    ("tail", "found"),
    [((3, 1, 2), (3, 1, 2, 3, 1)), ((7, 7, 7), (7, 7, 7, 7, 7)), ((9, 4, 5), (6, 1, 2, 9, 4))],
)
def test_what_repeats_itself_is_guessed_to_go_on(chat, tail, found):
    """A look that reaches the end of what there is begins again where it began."""
    document = (4, 5, 6, 1, 2)
    request = GenerateRequest(Prompt("A note.", "Why?"), max_tokens=60)
    asked = encode_request(
        request,
        chat,
        GrammarCompiler(chat.tokenizer, len(chat.tokenizer)),
        context_tokens=1_000,
        meter=UsageMeter(),
    )
    assert isinstance(asked, RequestState)
    asked.start(PrefixCache())
    assert asked.continuation is not None
    asked.continuation.tokens.extend((*document, *tail))
    assert append_draft_tokens(asked, 5) == 5
    assert tuple(asked.continuation.tokens[-5:]) == found
