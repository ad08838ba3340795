"""The abstractive summary: one generated answer per section under a grammar; map and reduce for long notes.

The grammar allows only the numbers of the note. Each sentence is checked against the note; flagged sentences
stay in the summary.
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

SECTION_QUESTIONS = {
    "Problems": "What are the patient's problems and diagnoses?",
    "Course": "What was done and what happened?",
    "Medications": "Which medications does the patient take or get?",
    "Follow-up": "What is the plan and follow-up?",
}
_MAX_PART_SENTENCES = 3
_MAX_SENTENCE_CHARACTERS = 240
"""Maximum characters of a sentence, and its token limit. A token has at least one character, so no sentence
is cut."""
_WORDS_PER_SENTENCE = 15
_MAX_TITLE_CHARACTERS = 90

_GeneratedTexts = Generator[Sequence[Request], list[Reply], list[str]]


def abstractive_summary(
    note: Note, max_words: int, *, uses_adapter: bool
) -> Generator[Sequence[Request], list[Reply], list[SummarySentence]]:
    """Yields the requests; returns the title and the sentences of the sections.

    A section on which the note says nothing is left out. `uses_adapter`: whether the adapter generates the
    text; False if it was not trained for summaries.
    """
    parts = [note.text[window.start : window.end] for window in note.long_windows]
    longest = max(map(len, parts))
    while len(parts) > 1:
        shortened = yield from _generated([_part_request(part, uses_adapter) for part in parts])
        parts = _merged(shortened, longest)
    max_sentences = max(1, round(max_words / len(SECTION_QUESTIONS) / _WORDS_PER_SENTENCE))
    sections = [
        section_request(parts[0], question, max_sentences, uses_adapter=uses_adapter)
        for question in SECTION_QUESTIONS.values()
    ]
    title, *answers = yield from _generated([_title_request(parts[0], uses_adapter), *sections])
    section_sentences = [("", title)] + [
        (section, answer[span.start : span.end])
        for section, answer in zip(SECTION_QUESTIONS, answers, strict=True)
        if answer != "None."
        for span in sentences(answer)
    ]
    note_index = index_note(note.text, note.sentences)
    return [_checked(note_index, section, text) for section, text in section_sentences]


def _generated(requests: Sequence[GenerateRequest]) -> _GeneratedTexts:
    """Yields the requests; returns the texts, each up to its last whole sentence.

    Raises UnusableReplyError if a text has no whole sentence.
    """
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


def _title_request(text: str, uses_adapter: bool) -> GenerateRequest:
    return GenerateRequest(
        prompt("summary_title", text, answer_start="Title:", uses_adapter=uses_adapter),
        max_tokens=_MAX_TITLE_CHARACTERS,
        output_format=SpanLine(text, max_characters=_MAX_TITLE_CHARACTERS),
    )


def section_request(
    text: str, question: str, max_sentences: int, *, uses_adapter: bool = False
) -> GenerateRequest:
    """The request for one section of the summary of `text`; training uses the same prompt."""
    return GenerateRequest(
        prompt(
            "summary_section", text, question=question, sentences=max_sentences, uses_adapter=uses_adapter
        ),
        max_tokens=max_sentences * _MAX_SENTENCE_CHARACTERS,
        output_format=Prose(
            text, max_sentences=max_sentences, max_characters=_MAX_SENTENCE_CHARACTERS, can_be_none=True
        ),
    )


def _part_request(text: str, uses_adapter: bool) -> GenerateRequest:
    return GenerateRequest(
        prompt("summary_part", text, sentences=_MAX_PART_SENTENCES, uses_adapter=uses_adapter),
        max_tokens=_MAX_PART_SENTENCES * _MAX_SENTENCE_CHARACTERS,
        output_format=Prose(
            text,
            max_sentences=_MAX_PART_SENTENCES,
            max_characters=_MAX_SENTENCE_CHARACTERS,
            can_be_none=False,
        ),
    )


def _merged(texts: Sequence[str], longest: int) -> list[str]:
    """Joins adjacent texts up to `longest` characters; always joins two, so that the reduction ends."""
    merged = [texts[0]]
    for position, text in enumerate(texts[1:], start=1):
        if len(merged[-1]) + len(text) < longest or position == 1:
            merged[-1] += "\n" + text
        else:
            merged.append(text)
    return merged


def _checked(note_index: NoteIndex, section: str, text: str) -> SummarySentence:
    checked = check_sentence(note_index, text)
    return SummarySentence(section=section, text=text, sources=checked.sources, flags=checked.flags)
