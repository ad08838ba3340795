"""Any answer of a network and any queue message ends in a valid outcome or a typed failure.

`FUZZ_EXAMPLES=5000 pytest tests/resilience/test_fuzz_answers.py` tries more than the suite does.
"""

from __future__ import annotations

import json
import os
import pickle
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kombu.message import Message

from models.jobs import Job, Work
from models.messages import TASK_NAME
from models.outcomes import Failed, Finished
from models.store.answer_validation import validate_answer
from resilience.fuzz.answer_fuzzing import LABELS, QUESTIONS, task_config
from resilience.fuzz.random_engine import TEXT_FRAGMENTS, RandomEngine
from worker.engine.http.completions import (
    Completion,
    MalformedAnswerError,
    parse_completion,
    parse_log_probabilities,
)
from worker.pipeline import process
from worker.queue.message_validation import BadMessageError, check

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
FUZZED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

texts = st.lists(st.sampled_from(TEXT_FRAGMENTS) | st.text(max_size=12), min_size=1, max_size=40).map("".join)
notes = texts.filter(lambda text: text.strip() != "")


@FUZZED
@given(note=notes, seed=st.integers(0, 2**32), is_tagged=st.booleans(), is_extractive=st.booleans())
def test_a_random_answer_is_stored_only_if_it_is_valid_for_the_note(
    note: str, seed: int, is_tagged: bool, is_extractive: bool
) -> None:
    jobs = tuple(
        Job(id=number, question=question, recipe_id="-", labels=LABELS, attempt=1)
        for number, question in enumerate(QUESTIONS)
    )
    work = Work(document_id=1, text=note, jobs=jobs)
    ended = [
        ended_job
        for batch in process(
            work,
            engine=RandomEngine(seed, note.split()),
            config=task_config(is_tagged=is_tagged, is_extractive=is_extractive),
        )
        for ended_job in batch
    ]
    assert sorted(job.id for job, _ in ended) == [0, 1, 2]
    for job, outcome in ended:
        if isinstance(outcome, Finished):
            validate_answer(job, outcome, note)
            json.dumps(outcome.model_dump(mode="json"), allow_nan=False)
        else:
            assert isinstance(outcome, Failed)


KEYS = (
    *(
        "choices",
        "text",
        "usage",
        "logprobs",
        "content",
        "top_logprobs",
        "top_probs",
        "id",
        "prob",
        "logprob",
    ),
    *("prompt_tokens", "completion_tokens", "finish_reason", "token_id:1", "x"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=16,
)


@FUZZED
@given(answer=JSON, words=st.lists(st.integers(0, 9), min_size=1, max_size=3))
def test_a_servers_answer_is_read_or_refused_as_garbled(answer: Any, words: list[int]) -> None:
    for wrapped in (answer, {"choices": [answer], "usage": answer}, {"choices": [{"logprobs": answer}]}):
        with suppress(MalformedAnswerError):
            assert isinstance(parse_completion(wrapped), Completion)
        try:
            scores = parse_log_probabilities(wrapped, words)
        except MalformedAnswerError:
            continue
        assert len(scores) == len(words)
        assert all(score <= 1e-6 for score in scores)  # also no NaN


class UnpicklingProbe:
    """Records whether a pickle was loaded."""

    was_opened = False

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (UnpicklingProbe, "was_opened", True)


CONTENT_TYPES = (
    "application/json",
    "application/x-python-serialize",
    "application/data",
    "text/plain",
    "x",
    "",
)
bodies = (
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.just(pickle.dumps(UnpicklingProbe()))
    | st.integers(1, 2_000).map(lambda depth: b"[" * depth)
    | st.integers(1, 1_000_000).map(lambda size: b'"' + b"x" * size + b'"')
)


@FUZZED
@given(
    body=bodies,
    content_type=st.sampled_from(CONTENT_TYPES),
    encoding=st.sampled_from(("utf-8", "binary", "utf-16", "no-such-encoding", "")),
    headers=st.dictionaries(st.sampled_from(("task", "id", "lang", "compression", "eta")), JSON, max_size=4),
    is_our_task=st.booleans(),
)
def test_a_foreign_message_is_always_rejected(
    body: bytes, content_type: str, encoding: str, headers: dict[str, Any], is_our_task: bool
) -> None:
    headers |= {"task": TASK_NAME} if is_our_task else {}
    described = {"content_type": content_type, "content_encoding": encoding, "headers": headers}
    with pytest.raises(BadMessageError):
        check(Message(body=body, channel=None, accept={"application/json"}, **described))
    assert not UnpicklingProbe.was_opened
