"""The summary task: a title, then short sections; each sentence has its source sentences in the note.

Two forms: extractive (setting `chosen`) selects text of the note, abstractive (`written`) generates text.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.answers import Section, Summary, SummaryAnswer, SummarySentence, Task
from worker.engine.task_coroutine import TaskAnswer, TaskCoroutine
from worker.note.parsed_note import Note
from worker.summary.abstractive import abstractive_summary
from worker.summary.extractive import extractive_summary
from worker.weights.task_config import TaskConfig


def summarize(note: Note, max_words: int, config: TaskConfig) -> TaskCoroutine:
    """The coroutine of the summary task: a summary of at most about `max_words` words."""
    if config.is_summary_extractive:
        sentences = yield from extractive_summary(note, max_words, config)
        ranges_read = note.window_ranges
    else:
        sentences = yield from abstractive_summary(
            note, max_words, uses_adapter=Task.SUMMARY in config.adapter_tasks
        )
        ranges_read = note.long_window_ranges
    return TaskAnswer(SummaryAnswer(summary=summary_of(sentences)), ranges_read)


def summary_of(sentences: Sequence[SummarySentence]) -> Summary:
    """The summary of its sentences: the first is the title, the others are grouped by their sections."""
    title, rest = sentences[0], sentences[1:]
    names = list(dict.fromkeys(sentence.section for sentence in rest))
    sections = tuple(
        Section(title=name, text=" ".join(sentence.text for sentence in rest if sentence.section == name))
        for name in names
    )
    lines = [title.text, *(f"{section.title}: {section.text}" for section in sections)]
    return Summary(title=title.text, text="\n".join(lines), sections=sections, sentences=tuple(sentences))
