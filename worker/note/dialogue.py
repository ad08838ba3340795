"""A doctor-patient dialogue as a note: who says what, without small talk.

A question alone says nothing, and what it names may be denied: it is used only together with its short
answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from models.answers import Span
from worker.note.parsed_note import Note

_SPEAKER = re.compile(
    r"\[?(?P<who>doctor|dr|physician|clinician|nurse|guest_clinician|patient|pt|guest_family(?:_\d)?|family)"
    r"\]?"
    r"\s?(?::|(?<=\]))\s*",
    re.IGNORECASE,
)
_ASKS = ("d", "c", "n", "ph", "guest_c")
"""Beginnings of the names of those who ask."""
_FILLER = re.compile(
    r"(?:(?:yes|yeah|yep|no|nope|um+|uh+|oh|okay|ok|well|so|right|sure|i see|alright|hmm?|exactly|correct"
    r"|thank you|thanks|sir|ma'am|mhm|great|good)\b[\s,.!-]*)+",
    re.IGNORECASE,
)
_IS_ANSWER = re.compile(
    r"(?:um+,? |uh,? |oh,? )?(?:no|nope|not|none|never|nah|yes|yeah|yep|yup|right|correct|sure)\b",
    re.IGNORECASE,
)
_LEAST_ANSWER_WORDS, _LEAST_STATEMENT_WORDS = 3, 5
"""Fewest words of a patient's answer, and of a doctor's statement: shorter ones are greetings."""
_LEAST_TURNS = 2


@dataclass(frozen=True, slots=True)
class DialogueStatement:
    """A statement in the note's own words."""

    text: str
    sources: tuple[Span, ...]


def dialogue_statements(note: Note) -> list[DialogueStatement]:
    """The statements in order; empty where the note is no dialogue."""
    lines = list(_lines(note))
    if len({who for who, _, _ in lines if who}) < _LEAST_TURNS:
        return []
    return list(_told(lines))


def is_in_question(note: Note, offset: int) -> bool:
    """True where a character lies in a question."""
    sentence = note.sentence_at(offset)
    return note.text[sentence.start : sentence.end].rstrip().endswith("?")


def _lines(note: Note) -> Iterator[tuple[str, str, Span]]:
    """Speaker, words and sentence; sentences before the first speaker have ''."""
    who = ""
    for sentence in note.sentences:
        words = " ".join(note.text[sentence.start : sentence.end].split())
        if match := _SPEAKER.match(words):
            who, words = match["who"].lower(), words[match.end() :]
        if words:
            yield who, words, sentence


def _told(lines: list[tuple[str, str, Span]]) -> Iterator[DialogueStatement]:
    question: tuple[str, Span] | None = None
    for who, words, sentence in lines:
        is_asking = who.startswith(_ASKS)
        rest = words[match.end() :] if (match := _FILLER.match(words)) else words
        if words.endswith("?"):
            question = (words, sentence) if is_asking else question
            continue
        if question and not is_asking and _IS_ANSWER.match(words):
            yield DialogueStatement(f"{question[0]} {words}", (question[1], sentence))
        elif len(rest.split()) >= (_LEAST_STATEMENT_WORDS if is_asking else _LEAST_ANSWER_WORDS):
            yield DialogueStatement(rest[:1].upper() + rest[1:], (sentence,))
        if not is_asking:
            question = None
