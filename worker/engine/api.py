"""The engine's API: requests to decide, to write and to compare, their replies, and the Engine protocol.

Prompts begin with the document, so that questions share its prefix. Does not import torch; implemented by
`worker.engine.batching.batched_engine` (local) and `worker.engine.http.http_engine` (server).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from worker.engine.output_formats import OutputFormat

if TYPE_CHECKING:  # a producer makes recipes without numpy
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Prompt:
    """One chat turn. The document comes first, so that all questions on it share one prefix."""

    document: str
    """A window of the note in its template, with the instruction that several questions share, if any."""
    question: str
    """The instruction, after the document."""
    answer_start: str = ""
    """Text that the prompt ends with, as the start of the answer."""
    uses_adapter: bool = False
    """True if prefill and answer use the adapter of the weights; no effect without an adapter."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice among label words, made at several positions of a copy of the text."""

    words: tuple[str, ...]
    """Label words; the first token of each is scored."""
    ends: tuple[int, ...] | None = None
    """Ascending character offsets in the copy after which to decide; None: after every token."""


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Scores label words at positions of a second copy of the text, in one forward pass.

    The copy stands in the place of the answer, after the question.
    """

    prompt: Prompt
    copy: str
    choices: tuple[Choice, ...]
    is_question_cached: bool = False
    """True if the question does not attend to the document, so that one prefill serves all documents
    (docs/decisions/cached-question-prefix.md)."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Log-probabilities of one choice, normalised over its words."""

    spans: tuple[tuple[int, int], ...]
    """Characters [start, end) in the copy of the last token before each decision."""
    log_probabilities: npt.NDArray[np.float32]
    """Shape [decisions, words]."""


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """Scores of all choices, in the order of the request."""

    scores: tuple[Scores, ...]
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """Generates text by greedy decoding, optionally in an output format."""

    prompt: Prompt
    max_tokens: int
    output_format: OutputFormat | None = None
    """The format that constrains the answer; None: free text."""


@dataclass(frozen=True, slots=True)
class GenerateResult:
    """Text generated after `answer_start`."""

    text: str
    is_complete: bool
    """True if the output format or the end token ended the text; False if `max_tokens` cut it."""
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """Compares sentence embeddings of texts with that of a query."""

    query: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompareResult:
    """Cosine similarity of each text to the query, -1 to 1."""

    similarities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RequestError:
    """Reply to a request that cannot be answered; other requests of the batch are not affected."""

    reason: str
    """One of `models.outcomes.Reason`."""
    detail: str
    """Explanation without text of the note."""


PromptRequest = ScoreRequest | GenerateRequest
"""A request to the language model; comparisons use another model."""
Request = PromptRequest | CompareRequest
Reply = ScoreResult | GenerateResult | CompareResult | RequestError


class Engine(Protocol):
    """Answers requests in batches."""

    @property
    def context_tokens(self) -> int:
        """Length in tokens of the longest sequence, prompt and answer together."""
        ...

    def count_tokens(self, text: str) -> int:
        """Number of tokens of a plain text."""
        ...

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:
        """Replies in the order of the requests. Blocks. Safe to call from many threads.

        Urgent requests, for which a person waits, are scheduled before all others.
        """
        ...
