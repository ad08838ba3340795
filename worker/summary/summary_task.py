"""Summary: a title line, then short sections, each sentence tied to the note sentences it rests on.

Two forms: `chosen` takes the note's own words by decisions, `written` writes under a grammar.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from models.answers import Section, Summary, SummaryAnswer, SummarySentence, Task
from worker.engine.task_coroutine import TaskAnswer, TaskCoroutine
from worker.note.parsed_note import Note
from worker.summary.abstractive import abstractive_summary
from worker.summary.extractive import extractive_summary
from worker.weights.task_config import TaskConfig


def summarize(note: Note, max_words: int, config: TaskConfig) -> TaskCoroutine:
    """A summary of about `max_words` words at most."""
    if config.is_summary_extractive:
        sentences = yield from extractive_summary(note, max_words, config)
        ranges_read = note.window_ranges
    else:
        sentences = yield from abstractive_summary(
            note, max_words, uses_adapter=Task.SUMMARY in config.adapted_tasks
        )
        ranges_read = note.long_window_ranges
    return TaskAnswer(SummaryAnswer(summary=summary_of(sentences)), ranges_read)


def summary_of(sentences: Sequence[SummarySentence]) -> Summary:
    """The first sentence is the title; the others stand in the order of their sections."""
    title, rest = sentences[0], sentences[1:]
    names = list(dict.fromkeys(sentence.section for sentence in rest))
    sections = tuple(
        Section(title=name, text=_joined(one.text for one in rest if one.section == name)) for name in names
    )
    lines = [title.text, *(f"{section.title}: {section.text}" for section in sections)]
    return Summary(title=title.text, text="\n".join(lines), sections=sections, sentences=tuple(sentences))


def _joined(texts: Iterable[str]) -> str:
    return " ".join(texts)
