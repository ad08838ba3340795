"""Doctor-patient dialogues: the statements of a transcript, without small talk.

A question alone states nothing, and the answer may negate it, so a question is kept only together with its
short answer.
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
_INTERVIEWERS = ("d", "c", "n", "ph", "guest_c")
"""Prefixes of the speaker names of clinicians, who ask the questions."""
_FILLER = re.compile(
    r"(?:(?:yes|yeah|yep|no|nope|um+|uh+|oh|okay|ok|well|so|right|sure|i see|alright|hmm?|exactly|correct"
    r"|thank you|thanks|sir|ma'am|mhm|great|good)\b[\s,.!-]*)+",
    re.IGNORECASE,
)
_IS_ANSWER = re.compile(
    r"(?:um+,? |uh,? |oh,? )?(?:no|nope|not|none|never|nah|yes|yeah|yep|yup|right|correct|sure)\b",
    re.IGNORECASE,
)
_MIN_ANSWER_WORDS, _MIN_STATEMENT_WORDS = 3, 5
"""Minimum words of a patient's answer and of a clinician's statement; shorter ones are greetings."""
_MIN_SPEAKERS = 2


@dataclass(frozen=True, slots=True)
class DialogueStatement:
    """A statement in the words of the note, with the sentences that it comes from."""

    text: str
    sources: tuple[Span, ...]


def dialogue_statements(note: Note) -> list[DialogueStatement]:
    """The statements in order; empty if the note is not a dialogue."""
    turns = list(_turns(note))
    if len({speaker for speaker, _, _ in turns if speaker}) < _MIN_SPEAKERS:
        return []
    return list(_statements(turns))


def is_in_question(note: Note, offset: int) -> bool:
    """True if the character at `offset` lies in a question."""
    sentence = note.sentence_at(offset)
    return note.text[sentence.start : sentence.end].rstrip().endswith("?")


def _turns(note: Note) -> Iterator[tuple[str, str, Span]]:
    """Speaker, words and sentence; the speaker is '' before the first speaker name."""
    speaker = ""
    for sentence in note.sentences:
        words = " ".join(note.text[sentence.start : sentence.end].split())
        if match := _SPEAKER.match(words):
            speaker, words = match["who"].lower(), words[match.end() :]
        if words:
            yield speaker, words, sentence


def _statements(turns: list[tuple[str, str, Span]]) -> Iterator[DialogueStatement]:
    question: tuple[str, Span] | None = None
    for speaker, words, sentence in turns:
        is_interviewer = speaker.startswith(_INTERVIEWERS)
        content = words[match.end() :] if (match := _FILLER.match(words)) else words
        if words.endswith("?"):
            question = (words, sentence) if is_interviewer else question
            continue
        if question and not is_interviewer and _IS_ANSWER.match(words):
            yield DialogueStatement(f"{question[0]} {words}", (question[1], sentence))
        elif len(content.split()) >= (_MIN_STATEMENT_WORDS if is_interviewer else _MIN_ANSWER_WORDS):
            yield DialogueStatement(content[:1].upper() + content[1:], (sentence,))
        if not is_interviewer:
            question = None
