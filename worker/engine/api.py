"""What an engine is: `decide` and `write`, over prompts that begin with the document, and `compare`.

Only nouns and the Protocol; no torch. `worker.engine.network.local_engine` implements it, and
`worker.engine.batching.batched_engine` lets many threads share one.
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
    """One chat turn. The document comes first, so that every question on it shares the beginning."""

    document: str
    """A window of the note, as the template words it, and what several questions on it begin with."""
    question: str
    """The instruction, after the document."""
    answer_start: str = ""
    """What the answer is made to begin with."""
    uses_adapter: bool = False
    """Whether the weights' adapter, where there is one, takes part in reading and answering."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be decided, at some places of a copy."""

    words: tuple[str, ...]
    """The label words; the first token of each is what is compared."""
    ends: tuple[int, ...] | None = None
    """Character offsets in the copy after which to decide, ascending; none: after each token."""


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Choices in a second copy of the text, which follows the question as the answer, in one reading."""

    prompt: Prompt
    copy: str
    choices: tuple[Choice, ...]
    is_question_cached: bool = False
    """The question is read as if there were no document, once for all of them: where its answers are as good
    (docs/decisions/cached-question-prefix.md)."""


@dataclass(frozen=True, slots=True)
class Scores:
    """One choice's log-probabilities, normalised over its words alone."""

    spans: tuple[tuple[int, int], ...]
    """For each decision the characters in the copy of the token that was read last."""
    log_probabilities: npt.NDArray[np.float32]
    """Shape [decisions, words]."""


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """Each choice's scores, in the order of the choices."""

    scores: tuple[Scores, ...]
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """Text to be written, greedily, in a form."""

    prompt: Prompt
    max_tokens: int
    output_format: OutputFormat | None = None
    """What the answer may look like; none: free text."""


@dataclass(frozen=True, slots=True)
class GenerateResult:
    """What was written after `answer_start`."""

    text: str
    is_complete: bool
    """Its form or the end token closed it; otherwise `max_tokens` cut it."""
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """How near texts are to a query in meaning."""

    query: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CompareResult:
    """For each text its nearness, -1 to 1."""

    similarities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RequestError:
    """A request that cannot be answered; the others of its batch are. Reasons as in models.outcomes."""

    reason: str
    detail: str


PromptRequest = ScoreRequest | GenerateRequest
"""What is asked of the weights."""
Request = PromptRequest | CompareRequest
Reply = ScoreResult | GenerateResult | CompareResult | RequestError


class Engine(Protocol):
    """Answers requests in batches; each reply stands where its request stood."""

    @property
    def context_tokens(self) -> int:
        """The longest sequence, prompt and answer together."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a piece of plain text."""
        ...

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:
        """Replies in the order of the requests. Blocks; safe to call from many threads.

        Urgent requests, a person waits for them, come before the others of a nightly run."""
        ...
