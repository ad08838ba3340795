"""A stand-in engine without a network: scores follow from lengths, and some words in a note make it fail."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

from worker.engine.api import (
    Choice,
    CompareRequest,
    CompareResult,
    RequestError,
    ScoreRequest,
    ScoreResult,
    Scores,
)
from worker.engine.prompting.label_words import OUTSIDE_WORD


class StandIn:
    """Fails as a network or a bug may, when the note holds one of these words:

    KILL ends the process, HANG waits an hour, CRASH raises an exception that quotes the note, BROKEN is a GPU
    after an error, MEMORY is a GPU without free memory.
    Each call takes `seconds` and leaves a line in the file `answered` of the folder.
    """

    context_tokens = 4_000

    def __init__(self, folder: Path, seconds: float = 0) -> None:
        self.folder, self.seconds = folder, seconds
        self.is_closed = threading.Event()

    def count_tokens(self, text: str) -> int:
        return len(text) // 4 + 1

    def answer(self, requests, *, is_urgent=False):
        prompted = [request for request in requests if not isinstance(request, CompareRequest)]
        text = prompted[0].prompt.document if prompted else ""
        with (self.folder / "answered").open("a") as log:
            log.write(f"{time.time()} {len(requests)}\n")
        if "KILL" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        if "CRASH" in text:
            raise ValueError(f"cannot read {text}")
        if "MEMORY" in text:
            return [RequestError("out_of_memory", "a test's") for _ in requests]
        if "BROKEN" in text:
            return [RequestError("crashed", "AcceleratorError") for _ in requests]
        self.is_closed.wait(3600 if "HANG" in text else self.seconds)
        return [_reply(request) for request in requests]

    def close(self) -> None:
        self.is_closed.set()


def _reply(request):
    if isinstance(request, CompareRequest):
        return CompareResult((0.0,) * len(request.texts))
    return _decided(request) if isinstance(request, ScoreRequest) else RequestError("unparsable", "")


def _decided(request: ScoreRequest) -> ScoreResult:
    scores = tuple(_scores(choice, request.copy) for choice in request.choices)
    return ScoreResult(scores, prompt_tokens=len(request.copy) // 4 + 1)


def _scores(choice: Choice, copy: str) -> Scores:
    ends = choice.ends if choice.ends is not None else tuple(range(1, len(copy) + 1))
    shares = np.ones((len(ends), len(choice.words)), np.float32)
    # A high score for "outside": otherwise names in the adapter's lexicon would be tagged.
    shares[:, 0] = [9_000 if choice.words[0] == OUTSIDE_WORD else 2 + end % 3 for end in ends]
    return Scores(
        spans=tuple((max(0, end - 1), end) for end in ends),
        log_probabilities=np.log(shares / shares.sum(axis=1, keepdims=True)),
    )
