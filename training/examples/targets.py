"""Turns an example into token ids and the right label words at each decision. Does not import torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.examples.task_examples import Example
from training.examples.training_sequences import ChoiceTarget, TrainingSequence
from worker.engine.api import Choice
from worker.engine.prompting.chat_template import Chat, token_positions
from worker.engine.prompting.label_words import ASSERTION_WORDS, SENTENCE_KINDS, TaggedLabel


def training_sequence(
    example: Example, chat: Chat, labels: Sequence[TaggedLabel], kind: str
) -> TrainingSequence:
    """The sequence as the engine builds it: the prompt, then the copy with decisions after its tokens."""
    request = example.request
    encoded = chat.encode(request.prompt)
    copied, offsets = chat.plain_with_offsets(request.copy)
    choice_targets = tuple(
        ChoiceTarget(
            positions=[len(encoded.tokens) + position for position in token_positions(choice, offsets)],
            word_tokens=[chat.plain(word)[0] for word in choice.words],
            is_right=is_right,
        )
        for choice, is_right in _annotated_choices(example, offsets, labels)
    )
    return TrainingSequence(kind, encoded.tokens + copied, encoded.shared_tokens, choice_targets)


def _annotated_choices(
    example: Example, offsets: list[tuple[int, int]], labels: Sequence[TaggedLabel]
) -> list[tuple[Choice, npt.NDArray[np.bool_]]]:
    if example.is_relevant:
        [choice] = example.request.choices
        return [(choice, np.array([[yes, not yes] for yes in example.is_relevant], dtype=np.bool_))]
    tags, kinds, _ = example.request.choices
    annotated = []
    if example.spans is not None:
        annotated.append((tags, _right_tags(example, offsets, labels)))
    if example.kinds is not None:
        rows = [[kind in kinds_of_sentence for kind in SENTENCE_KINDS] for kinds_of_sentence in example.kinds]
        annotated.append((kinds, np.array(rows, dtype=np.bool_)))
    if example.assertions:
        ends = tuple(end for end, _ in example.assertions)
        rows = [
            [assertion is candidate for candidate in ASSERTION_WORDS.values()]
            for _, assertion in example.assertions
        ]
        annotated.append((Choice(tuple(ASSERTION_WORDS), ends), np.array(rows, dtype=np.bool_)))
    return annotated


def _right_tags(
    example: Example, offsets: list[tuple[int, int]], labels: Sequence[TaggedLabel]
) -> npt.NDArray[np.bool_]:
    nothing = np.zeros(1 + 2 * len(labels), dtype=np.bool_)
    nothing[0] = True
    for number, label in enumerate(labels):
        if label.name in example.unannotated_labels:
            nothing[1 + 2 * number : 3 + 2 * number] = True
    right = np.tile(nothing, (len(offsets), 1))
    column = {label.name: 1 + 2 * number for number, label in enumerate(labels)}
    for start, end, name in example.spans or ():
        covered = [
            i for i, (first, last) in enumerate(offsets) if first < end and last > start and last > first
        ]
        for i in covered:
            right[i] = False
            right[i, column[name] + (i != covered[0])] = True
    return right
