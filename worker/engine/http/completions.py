"""Request and response bodies of `/v1/completions`, for vLLM and for llama.cpp's server.

Prompts are token ids, so that text which imitates a control token stays plain text. Each server ignores the
fields that only the other knows. Does not import an HTTP client.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from models.errors import NotemillError
from worker.engine.output_formats import OutputFormat

GrammarFormat = Literal["lark", "json_schema"]
MAX_LOGPROBS = 20
"""Default of vLLM's `--max-logprobs`; it rejects larger requests."""
_LOGIT_BIAS = 100
"""Lifts the label words above all other tokens without changing their relative probabilities."""


class MalformedAnswerError(NotemillError):
    """A server's response does not follow the API. The message quotes nothing of the response."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A completion of a server."""

    text: str
    is_complete: bool
    prompt_tokens: int
    completion_tokens: int


def generation_body(
    tokens: Sequence[int],
    *,
    max_tokens: int,
    end_token: int,
    output_format: OutputFormat | None,
    grammar: GrammarFormat,
) -> dict[str, Any]:
    """The request body for a greedy completion in the output format."""
    body = {
        "prompt": list(tokens),
        "max_tokens": max_tokens,
        "temperature": 0,
        "stop_token_ids": [end_token],
        "cache_prompt": True,
    }
    if output_format is None:
        return body
    if grammar == "lark":
        # vLLM's guidance backend detects Lark by itself; llama.cpp with llguidance needs this first line.
        lark = output_format.lark()
        return body | {"structured_outputs": {"grammar": lark}, "grammar": f"%llguidance {{}}\n{lark}"}
    schema = output_format.json_schema()
    wrapped = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return body | {"response_format": wrapped, "json_schema": schema}


def scoring_body(tokens: Sequence[int], words: Sequence[int]) -> dict[str, Any]:
    """The request body for the probabilities of `words`, given as their first tokens, as the next token.

    vLLM returns those of `logprob_token_ids`. llama.cpp has no such field: a bias lifts the words above all
    other tokens there, and the returned probabilities after sampling have the same ratios.
    """
    distinct = list(dict.fromkeys(words))
    return {
        "prompt": list(tokens),
        "max_tokens": 1,
        "temperature": 1,
        "logprobs": MAX_LOGPROBS,
        "logprob_token_ids": distinct,
        "return_tokens_as_token_ids": True,
        "logit_bias": {str(word): _LOGIT_BIAS for word in distinct},
        "post_sampling_probs": True,
        "samplers": ["top_k"],
        "top_k": len(distinct),
        "cache_prompt": True,
    }


def parse_completion(answer: Any) -> Completion:
    """The completion in a response. Raises MalformedAnswerError."""
    try:
        choice, usage = answer["choices"][0], answer["usage"]
        return Completion(
            text=_checked_type(str, choice["text"]),
            is_complete=choice["finish_reason"] == "stop",
            prompt_tokens=_checked_type(int, usage["prompt_tokens"]),
            completion_tokens=_checked_type(int, usage["completion_tokens"]),
        )
    except (LookupError, TypeError):
        raise MalformedAnswerError("the server's answer has no text") from None


def parse_log_probabilities(answer: Any, words: Sequence[int]) -> list[float]:
    """Log-probabilities of the words, normalised over them. Raises MalformedAnswerError.

    A server that supports neither field of `scoring_body` may omit a word. Such a word gets its upper bound:
    the smallest returned probability, or the probability that all returned tokens leave over if that is
    smaller.
    """
    try:
        returned = _token_logprobs(answer["choices"][0]["logprobs"])
        if not all(map(math.isfinite, returned.values())):
            raise ValueError
        remaining = max(1 - math.fsum(map(math.exp, returned.values())), 1e-9)
        bound = min(math.log(remaining), min(returned.values()))
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError):
        raise MalformedAnswerError("the server's answer has no log-probabilities") from None
    scores = [returned.get(word, bound) for word in words]
    highest = max(scores)
    total = highest + math.log(math.fsum(math.exp(score - highest) for score in scores))
    return [score - total for score in scores]


def _token_logprobs(logprobs: Mapping[str, Any]) -> dict[int, float]:
    """Log-probabilities by token id of the alternatives for the generated token, in either server's
    format."""
    if "content" in logprobs:
        first = logprobs["content"][0]
        if "top_probs" in first:
            return {
                alternative["id"]: math.log(max(alternative["prob"], 1e-30))
                for alternative in first["top_probs"]
            }
        return {alternative["id"]: float(alternative["logprob"]) for alternative in first["top_logprobs"]}
    top = logprobs["top_logprobs"][0]
    return {int(name.removeprefix("token_id:")): float(value) for name, value in top.items()}


def _checked_type(expected_type: type, value: Any) -> Any:
    if not isinstance(value, expected_type):
        raise TypeError
    return value
