"""Curriculum: the training sequences of each epoch, drawn from prepared records by seed and epoch.

What does not depend on chance is made once; search queries are drawn anew each epoch.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from models.labels import Label
from training.data.prepared_folder import Record
from training.data.row_formats import ANSWER, ASSERTION, CONVERSATION, DIALOGUE, NOTE, OWN, PLAIN
from training.examples.generation_examples import WrittenPieces, list_answers, section_answers
from training.examples.section_examples import (
    answer_examples,
    kind_examples,
    notes_of_parts,
    section_examples,
)
from training.examples.targets import piece_of
from training.examples.task_examples import Example, assertion_examples, marks_examples, search_examples
from training.examples.training_sequences import TrainingSequence
from training.finetune.training_recipe import TrainingRecipe
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.label_words import tagged_labels

MARKS, KINDS, ASSERTIONS, SEARCH = "entities", "kinds", "assertions", "search"
SUMMARY, LISTS = "summary", "lists"
_NOTES_OF_PARTS = 80
"""Notes composed of dialogue sections, where there are any."""
_MOST_ANSWER_CHARACTERS = 3_000


class Curriculum:
    """One half of the prepared data as training sequences."""

    def __init__(
        self, records: Sequence[Record], labels: Sequence[Label], chat: Chat, recipe: TrainingRecipe
    ) -> None:
        self._recipe, self._chat = recipe, chat
        self._marked = tagged_labels([label.name for label in labels])
        self._by_kind: dict[str, list[Record]] = defaultdict(list)
        self._notes: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            self._by_kind[record["kind"]].append(record)
            if record["kind"] == NOTE:
                self._notes[record["corpus"]].append(record)
        self.refused: Counter[str] = Counter()
        """Written answers that were left out, by reason."""
        self._fixed = self._fixed_pieces(labels)

    @property
    def tasks(self) -> list[str]:
        """The tasks that the worker may request of an adapter trained on this."""
        is_writing = any(
            piece.kind in (SUMMARY, CONVERSATION) and self._share(piece.kind) for piece in self._fixed
        )
        return (["entities", "search"] if self._notes else []) + (["summary"] if is_writing else [])

    def epoch(self, number: int) -> list[TrainingSequence]:
        """The sequences of an epoch, in training order."""
        chance = random.Random(f"{self._recipe.seed} {number}")
        drawn = self._fixed + [self._piece(example, SEARCH) for example in self._searches(chance)]
        by_kind: dict[str, list[TrainingSequence]] = defaultdict(list)
        for piece in drawn:
            by_kind[piece.kind].append(piece)
        chosen = [
            piece
            for kind, some in by_kind.items()
            for piece in chance.sample(some, min(len(some), round(self._share(kind) * len(some))))
        ]
        return _mixed(chosen, chance)

    def _share(self, kind: str) -> float:
        return self._recipe.shares.get(kind, 0.0 if kind == LISTS else 1.0)

    def _fixed_pieces(self, labels: Sequence[Label]) -> list[TrainingSequence]:
        size = self._recipe.window_characters
        written = WrittenPieces(self._chat)
        pieces: list[TrainingSequence | None] = []
        for corpus, records in self._notes.items():
            names = _own_names(records) if corpus == OWN else None
            examples = marks_examples(corpus, records, self._marked, size, names)
            pieces += [self._piece(example, MARKS) for example in examples]
            if self._share(LISTS) and corpus != OWN:
                pieces += [written.answer(one, LISTS) for one in list_answers(corpus, records, labels, size)]
        chance = random.Random(self._recipe.seed)
        notes = [record["note"] for record in self._by_kind[PLAIN]]
        notes += notes_of_parts(self._by_kind[DIALOGUE], _NOTES_OF_PARTS, chance)
        pieces += [self._piece(one, KINDS) for one in kind_examples(notes, self._marked, size, chance)]
        told = assertion_examples(self._by_kind[ASSERTION], self._marked)
        pieces += [self._piece(one, ASSERTIONS) for one in told]
        for record in self._by_kind[CONVERSATION]:
            pieces.append(written.conversation(record["turns"], CONVERSATION))
        sections = section_answers(self._by_kind[DIALOGUE], self.refused)
        pieces += [written.answer(one, SUMMARY) for one in sections]
        self.refused += written.refused
        return [piece for piece in pieces if piece is not None]

    def _searches(self, chance: random.Random) -> list[Example]:
        size = self._recipe.window_characters
        found: list[Example] = []
        for corpus, records in self._notes.items():
            found += search_examples(corpus, records, size, chance)
        notes = [record["note"] for record in self._by_kind[PLAIN]]
        notes += notes_of_parts(self._by_kind[DIALOGUE], _NOTES_OF_PARTS, chance)
        found += section_examples(notes, size, chance)
        answers = [one for one in self._by_kind[ANSWER] if len(one["answer"]) < _MOST_ANSWER_CHARACTERS]
        if len(answers) >= 3:
            found += answer_examples(answers, len(answers) // 10 + 1, chance)
        return [example for example in found if example.is_relevant]

    def _piece(self, example: Example, kind: str) -> TrainingSequence:
        return piece_of(example, self._chat, self._marked, kind)


def _mixed(pieces: Sequence[TrainingSequence], chance: random.Random) -> list[TrainingSequence]:
    """Shuffled documents with their questions together, so that a row shares the document."""
    documents: dict[tuple[int, ...], list[TrainingSequence]] = defaultdict(list)
    for number, piece in enumerate(pieces):
        key = tuple(piece.tokens[: piece.shared_tokens]) or (-1, number)
        documents[key].append(piece)
    groups = list(documents.values())
    chance.shuffle(groups)
    return [piece for group in groups for piece in group]


def _own_names(records: Sequence[Record]) -> dict[str, str]:
    """Labels under their own names; a label that no note uses is unknown, not wrong."""
    return {one["label"]: one["label"] for record in records for one in record["entities"]}
