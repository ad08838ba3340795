"""The abstractive summary: one generated answer a section under a grammar; long notes by map and reduce.

Numbers can only be the note's. Each sentence is checked against the note and flagged, never hidden.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from models.answers import SummarySentence
from models.outcomes import Reason
from worker.engine.api import GenerateRequest, GenerateResult, Reply, Request
from worker.engine.output_formats import Prose, SpanLine
from worker.engine.prompting.prompt_templates import prompt
from worker.engine.task_coroutine import UnusableReplyError
from worker.note.parsed_note import Note
from worker.note.sentence_splitter import sentences
from worker.summary.faithfulness import NoteIndex, check_sentence, index_note

SECTIONS = {
    "Problems": "What are the patient's problems and diagnoses?",
    "Course": "What was done and what happened?",
    "Medications": "Which medications does the patient take or get?",
    "Follow-up": "What is the plan and follow-up?",
}
_PART_SENTENCES = 3
_SENTENCE_CHARACTERS = 240
"""Most characters of a sentence, and most tokens: a token has at least one character, so no sentence is cut.
"""
_WORDS_A_SENTENCE = 15
_TITLE_CHARACTERS = 90

_Writing = Generator[Sequence[Request], list[Reply], list[str]]


def abstractive_summary(
    note: Note, max_words: int, *, uses_adapter: bool
) -> Generator[Sequence[Request], list[Reply], list[SummarySentence]]:
    """The title and the sections' sentences; a section of which the note says nothing is left out.
    `uses_adapter`: with the adapter, which has learnt to write; otherwise with the plain weights."""
    parts = [note.text[window.start : window.end] for window in note.long_windows]
    longest = max(map(len, parts))
    while len(parts) > 1:
        shortened = yield from _written([_part(part, uses_adapter) for part in parts])
        parts = _joined(shortened, longest)
    each = max(1, round(max_words / len(SECTIONS) / _WORDS_A_SENTENCE))
    sections = [
        section_request(parts[0], asked, each, uses_adapter=uses_adapter) for asked in SECTIONS.values()
    ]
    title, *answers = yield from _written([_title(parts[0], uses_adapter), *sections])
    told = [("", title)] + [
        (section, answer[span.start : span.end])
        for section, answer in zip(SECTIONS, answers, strict=True)
        if answer != "None."
        for span in sentences(answer)
    ]
    evidence = index_note(note.text, note.sentences)
    return [_checked(evidence, section, text) for section, text in told]


def _written(requests: Sequence[GenerateRequest]) -> _Writing:
    """The texts, each to the end of its last whole sentence. Raises UnusableReplyError without one."""
    replies = yield requests
    texts = []
    for reply in replies:
        assert isinstance(reply, GenerateResult)
        text = reply.text.strip()
        if not reply.is_complete:
            text = text[: text.rfind(". ") + 1]
        if not text:
            raise UnusableReplyError(
                Reason.UNPARSABLE, f"no whole sentence in {reply.completion_tokens} tokens"
            )
        texts.append(text)
    return texts


def _title(text: str, uses_adapter: bool) -> GenerateRequest:
    return GenerateRequest(
        prompt("summary_title", text, answer_start="Title:", uses_adapter=uses_adapter),
        max_tokens=_TITLE_CHARACTERS,
        output_format=SpanLine(text, max_characters=_TITLE_CHARACTERS),
    )


def section_request(text: str, question: str, most: int, *, uses_adapter: bool = False) -> GenerateRequest:
    """The request for one section of the summary of `text`, as in training."""
    return GenerateRequest(
        prompt("summary_section", text, question=question, sentences=most, uses_adapter=uses_adapter),
        max_tokens=most * _SENTENCE_CHARACTERS,
        output_format=Prose(text, max_sentences=most, max_characters=_SENTENCE_CHARACTERS, can_be_none=True),
    )


def _part(text: str, uses_adapter: bool) -> GenerateRequest:
    return GenerateRequest(
        prompt("summary_part", text, sentences=_PART_SENTENCES, uses_adapter=uses_adapter),
        max_tokens=_PART_SENTENCES * _SENTENCE_CHARACTERS,
        output_format=Prose(
            text, max_sentences=_PART_SENTENCES, max_characters=_SENTENCE_CHARACTERS, can_be_none=False
        ),
    )


def _joined(texts: Sequence[str], longest: int) -> list[str]:
    """Runs of texts of at most `longest` characters; at least two become one, so that the reduction ends."""
    joined = [texts[0]]
    for place, text in enumerate(texts[1:], start=1):
        if len(joined[-1]) + len(text) < longest or place == 1:
            joined[-1] += "\n" + text
        else:
            joined.append(text)
    return joined


def _checked(evidence: NoteIndex, section: str, text: str) -> SummarySentence:
    checked = check_sentence(evidence, text)
    return SummarySentence(section=section, text=text, sources=checked.sources, flags=checked.flags)
