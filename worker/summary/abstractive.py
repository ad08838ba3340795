"""The written summary: a branch a section in a form; long notes by map and reduce.

Figures can only be the note's. Each sentence is checked against the note and flagged, never hidden.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from models.answers import SummarySentence
from models.outcomes import Reason
from worker.engine.api import Reply, Request, Write, Written
from worker.engine.output_formats import LineOf, Prose
from worker.engine.prompting.prompt_templates import prompt
from worker.engine.task_coroutine import UnansweredError
from worker.note.parsed_note import Note
from worker.note.sentence_splitter import sentences
from worker.summary.faithfulness import Evidence, check_against, evidence_of

SECTIONS = {
    "Problems": "What are the patient's problems and diagnoses?",
    "Course": "What was done and what happened?",
    "Medications": "Which medications does the patient take or get?",
    "Follow-up": "What is the plan and follow-up?",
}
_PART_SENTENCES = 3
_SENTENCE_CHARACTERS = 240
"""Also the tokens it may take: a token is a character at least, so that no sentence is cut."""
_WORDS_A_SENTENCE = 15
_TITLE_CHARACTERS = 90

_Writing = Generator[Sequence[Request], list[Reply], list[str]]


def write(
    note: Note, max_words: int, *, is_adapted: bool
) -> Generator[Sequence[Request], list[Reply], list[SummarySentence]]:
    """The title and the sections' sentences; a section of which the note says nothing is left out.

    `is_adapted`: by the adapter, which has learnt to write; otherwise by the weights as they came.
    """
    parts = [note.text[window.start : window.end] for window in note.long_windows]
    longest = max(map(len, parts))
    while len(parts) > 1:
        shortened = yield from _written([_part(part, is_adapted) for part in parts])
        parts = _joined(shortened, longest)
    each = max(1, round(max_words / len(SECTIONS) / _WORDS_A_SENTENCE))
    sections = [section_request(parts[0], asked, each, is_adapted=is_adapted) for asked in SECTIONS.values()]
    title, *answers = yield from _written([_title(parts[0], is_adapted), *sections])
    told = [("", title)] + [
        (section, answer[span.start : span.end])
        for section, answer in zip(SECTIONS, answers, strict=True)
        if answer != "None."
        for span in sentences(answer)
    ]
    evidence = evidence_of(note.text, note.sentences)
    return [_checked(evidence, section, text) for section, text in told]


def _written(requests: Sequence[Write]) -> _Writing:
    """The texts, each to the end of its last whole sentence. Raises UnansweredError where there is none."""
    replies = yield requests
    texts = []
    for reply in replies:
        assert isinstance(reply, Written)
        text = reply.text.strip()
        if not reply.is_complete:
            text = text[: text.rfind(". ") + 1]
        if not text:
            raise UnansweredError(Reason.UNPARSABLE, f"no whole sentence in {reply.completion_tokens} tokens")
        texts.append(text)
    return texts


def _title(text: str, is_adapted: bool) -> Write:
    return Write(
        prompt("summary_title", text, answer_start="Title:", is_adapted=is_adapted),
        max_tokens=_TITLE_CHARACTERS,
        form=LineOf(text, longest=_TITLE_CHARACTERS),
    )


def section_request(text: str, question: str, most: int, *, is_adapted: bool = False) -> Write:
    """One section of the summary of `text`; what is trained to write it asks just so."""
    return Write(
        prompt("summary_section", text, question=question, sentences=most, is_adapted=is_adapted),
        max_tokens=most * _SENTENCE_CHARACTERS,
        form=Prose(text, sentences=most, longest=_SENTENCE_CHARACTERS, can_be_none=True),
    )


def _part(text: str, is_adapted: bool) -> Write:
    return Write(
        prompt("summary_part", text, sentences=_PART_SENTENCES, is_adapted=is_adapted),
        max_tokens=_PART_SENTENCES * _SENTENCE_CHARACTERS,
        form=Prose(text, sentences=_PART_SENTENCES, longest=_SENTENCE_CHARACTERS, can_be_none=False),
    )


def _joined(texts: Sequence[str], longest: int) -> list[str]:
    """Runs of texts of at most `longest` characters; at least two become one, so that it ends."""
    joined = [texts[0]]
    for place, text in enumerate(texts[1:], start=1):
        if len(joined[-1]) + len(text) < longest or place == 1:
            joined[-1] += "\n" + text
        else:
            joined.append(text)
    return joined


def _checked(evidence: Evidence, section: str, text: str) -> SummarySentence:
    checked = check_against(evidence, text)
    return SummarySentence(section=section, text=text, sources=checked.sources, flags=checked.flags)
