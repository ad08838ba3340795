"""The bodies of `/v1/completions` as vLLM and llama.cpp's server read and write them.

Prompts are token ids, so that what imitates a control token in a note stays plain text. What only one
of the two knows, the other leaves unread. Pure: knows no connection.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from models.errors import NotemillError
from worker.engine.output_formats import OutputFormat

GrammarFormat = Literal["lark", "json_schema"]
TOP_WORDS = 20
"""vLLM's `--max-logprobs` as it is if nobody sets it; it refuses more."""
_BIAS = 100
"""Lifts the label words over all others and leaves their probabilities to one another as they are."""


class MalformedAnswerError(NotemillError):
    """A server's answer is not what the API says. Its text holds none of the answer."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a server wrote."""

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
    """The body that asks for a greedy answer in the form."""
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
        # vLLM's guidance backend tells Lark by itself; llama.cpp, built with llguidance, by its first line.
        lark = output_format.lark()
        return body | {"structured_outputs": {"grammar": lark}, "grammar": f"%llguidance {{}}\n{lark}"}
    schema = output_format.json_schema()
    wrapped = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return body | {"response_format": wrapped, "json_schema": schema}


def scoring_body(tokens: Sequence[int], words: Sequence[int]) -> dict[str, Any]:
    """The body that asks for the probabilities of the words, by their first tokens, as what comes next.

    vLLM gives those of `logprob_token_ids`. llama.cpp has no such field: there the words are lifted over
    all others, and their probabilities after that are asked for, which are the same to one another.
    """
    distinct = list(dict.fromkeys(words))
    return {
        "prompt": list(tokens),
        "max_tokens": 1,
        "temperature": 1,
        "logprobs": TOP_WORDS,
        "logprob_token_ids": distinct,
        "return_tokens_as_token_ids": True,
        "logit_bias": {str(word): _BIAS for word in distinct},
        "post_sampling_probs": True,
        "samplers": ["top_k"],
        "top_k": len(distinct),
        "cache_prompt": True,
    }


def parse_completion(answer: Any) -> Completion:
    """Raises GarbledError."""
    try:
        choice, usage = answer["choices"][0], answer["usage"]
        return Completion(
            text=_of_type(str, choice["text"]),
            is_complete=choice["finish_reason"] == "stop",
            prompt_tokens=_of_type(int, usage["prompt_tokens"]),
            completion_tokens=_of_type(int, usage["completion_tokens"]),
        )
    except (LookupError, TypeError):
        raise MalformedAnswerError("the server's answer has no text") from None


def parse_log_probabilities(answer: Any, words: Sequence[int]) -> list[float]:
    """Log-probabilities of the words, normalised over them. Raises GarbledError.

    A word that the server does not tell, of a server that knows neither field of `scoring_body`, is given the
    most that it can have: no more than the least that is told, nor than what all that are told leave over.
    """
    try:
        told = _told(answer["choices"][0]["logprobs"])
        if not all(map(math.isfinite, told.values())):
            raise ValueError
        left = max(1 - math.fsum(map(math.exp, told.values())), 1e-9)
        bound = min(math.log(left), min(told.values()))
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError):
        raise MalformedAnswerError("the server's answer has no log-probabilities") from None
    scores = [told.get(word, bound) for word in words]
    highest = max(scores)
    total = highest + math.log(math.fsum(math.exp(score - highest) for score in scores))
    return [score - total for score in scores]


def _told(logprobs: Mapping[str, Any]) -> dict[int, float]:
    """Token ids and log-probabilities of the one token's alternatives, in either server's form."""
    if "content" in logprobs:
        first = logprobs["content"][0]
        if "top_probs" in first:
            return {one["id"]: math.log(max(one["prob"], 1e-30)) for one in first["top_probs"]}
        return {one["id"]: float(one["logprob"]) for one in first["top_logprobs"]}
    top = logprobs["top_logprobs"][0]
    return {int(name.removeprefix("token_id:")): float(value) for name, value in top.items()}


def _of_type(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value
