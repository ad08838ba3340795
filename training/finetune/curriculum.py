"""Curriculum: the training sequences of each epoch, drawn from prepared records by seed and epoch.

Search queries are drawn anew for each epoch; all other sequences are made once.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from models.labels import Label
from training.data.prepared_folder import Record
from training.data.row_formats import ANSWER, ASSERTION, CONVERSATION, DIALOGUE, NOTE, OWN, PLAIN
from training.examples.generation_examples import GenerationSequences, list_answers, section_answers
from training.examples.section_examples import (
    answer_examples,
    kind_examples,
    notes_of_parts,
    section_examples,
)
from training.examples.targets import training_sequence
from training.examples.task_examples import Example, assertion_examples, search_examples, tagging_examples
from training.examples.training_sequences import TrainingSequence
from training.finetune.training_recipe import TrainingRecipe
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.label_words import tagged_labels

TAGGING, KINDS, ASSERTIONS, SEARCH = "entities", "kinds", "assertions", "search"
SUMMARY, LISTS = "summary", "lists"
_NOTES_OF_PARTS = 80
"""Number of notes composed of dialogue sections, if the data has any."""
_MOST_ANSWER_CHARACTERS = 3_000


class Curriculum:
    """The training or the validation records as training sequences."""

    def __init__(
        self, records: Sequence[Record], labels: Sequence[Label], chat: Chat, recipe: TrainingRecipe
    ) -> None:
        self._recipe, self._chat = recipe, chat
        self._tagged_labels = tagged_labels([label.name for label in labels])
        self._by_kind: dict[str, list[Record]] = defaultdict(list)
        self._notes: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            self._by_kind[record["kind"]].append(record)
            if record["kind"] == NOTE:
                self._notes[record["corpus"]].append(record)
        self.refused: Counter[str] = Counter()
        """Numbers of generation examples that were left out, by reason."""
        self._fixed = self._fixed_sequences(labels)

    @property
    def tasks(self) -> list[str]:
        """The tasks for which the worker may use an adapter that was trained on this."""
        is_writing = any(
            sequence.kind in (SUMMARY, CONVERSATION) and self._share(sequence.kind)
            for sequence in self._fixed
        )
        return (["entities", "search"] if self._notes else []) + (["summary"] if is_writing else [])

    def epoch(self, number: int) -> list[TrainingSequence]:
        """The sequences of an epoch, in training order."""
        rng = random.Random(f"{self._recipe.seed} {number}")
        drawn = self._fixed + [self._sequence(example, SEARCH) for example in self._searches(rng)]
        by_kind: dict[str, list[TrainingSequence]] = defaultdict(list)
        for sequence in drawn:
            by_kind[sequence.kind].append(sequence)
        sampled = [
            sequence
            for kind, of_kind in by_kind.items()
            for sequence in rng.sample(of_kind, min(len(of_kind), round(self._share(kind) * len(of_kind))))
        ]
        return _mixed(sampled, rng)

    def _share(self, kind: str) -> float:
        return self._recipe.shares.get(kind, 0.0 if kind == LISTS else 1.0)

    def _fixed_sequences(self, labels: Sequence[Label]) -> list[TrainingSequence]:
        size = self._recipe.window_characters
        builder = GenerationSequences(self._chat)
        sequences: list[TrainingSequence | None] = []
        for corpus, records in self._notes.items():
            names = _own_names(records) if corpus == OWN else None
            examples = tagging_examples(corpus, records, self._tagged_labels, size, names)
            sequences += [self._sequence(example, TAGGING) for example in examples]
            if self._share(LISTS) and corpus != OWN:
                sequences += [
                    builder.answer(example, LISTS) for example in list_answers(corpus, records, labels, size)
                ]
        rng = random.Random(self._recipe.seed)
        notes = [record["note"] for record in self._by_kind[PLAIN]]
        notes += notes_of_parts(self._by_kind[DIALOGUE], _NOTES_OF_PARTS, rng)
        sequences += [
            self._sequence(example, KINDS) for example in kind_examples(notes, self._tagged_labels, size, rng)
        ]
        assertions = assertion_examples(self._by_kind[ASSERTION], self._tagged_labels)
        sequences += [self._sequence(example, ASSERTIONS) for example in assertions]
        for record in self._by_kind[CONVERSATION]:
            sequences.append(builder.conversation(record["turns"], CONVERSATION))
        sections = section_answers(self._by_kind[DIALOGUE], self.refused)
        sequences += [builder.answer(example, SUMMARY) for example in sections]
        self.refused += builder.refused
        return [sequence for sequence in sequences if sequence is not None]

    def _searches(self, rng: random.Random) -> list[Example]:
        size = self._recipe.window_characters
        examples: list[Example] = []
        for corpus, records in self._notes.items():
            examples += search_examples(corpus, records, size, rng)
        notes = [record["note"] for record in self._by_kind[PLAIN]]
        notes += notes_of_parts(self._by_kind[DIALOGUE], _NOTES_OF_PARTS, rng)
        examples += section_examples(notes, size, rng)
        answers = [row for row in self._by_kind[ANSWER] if len(row["answer"]) < _MOST_ANSWER_CHARACTERS]
        if len(answers) >= 3:
            examples += answer_examples(answers, len(answers) // 10 + 1, rng)
        return [example for example in examples if example.is_relevant]

    def _sequence(self, example: Example, kind: str) -> TrainingSequence:
        return training_sequence(example, self._chat, self._tagged_labels, kind)


def _mixed(sequences: Sequence[TrainingSequence], rng: random.Random) -> list[TrainingSequence]:
    """The sequences in random order of documents, those of a document together, to share its prefix."""
    documents: dict[tuple[int, ...], list[TrainingSequence]] = defaultdict(list)
    for number, sequence in enumerate(sequences):
        key = tuple(sequence.tokens[: sequence.shared_tokens]) or (-1, number)
        documents[key].append(sequence)
    groups = list(documents.values())
    rng.shuffle(groups)
    return [sequence for group in groups for sequence in group]


def _own_names(records: Sequence[Record]) -> dict[str, str]:
    """Our own labels in these notes; a label that no note uses counts as unannotated."""
    return {entity["label"]: entity["label"] for record in records for entity in record["entities"]}
