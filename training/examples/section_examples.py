"""Examples without annotation: from the sections of notes, and from questions with answers.

The section of a sentence gives its kind and the questions it answers. A heading is dropped at random, so that
the network learns the words of the sentences, not only the headings. Does not import torch.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

from training.examples.section_queries import HEADINGS_OF_PARTS, QUERIES
from training.examples.task_examples import Example, window_request, windows_of
from worker.engine.api import Choice, ScoreRequest
from worker.engine.prompting.label_words import SEARCH_WORDS, SENTENCE_KINDS, TaggedLabel
from worker.engine.prompting.prompt_templates import prompt
from worker.note.sentence_splitter import sentences

_HEADING = re.compile(
    r"(?m)^(" + "|".join(sorted(map(re.escape, QUERIES), key=len, reverse=True)) + r")[ :]*\r?\n"
)


COURSE, FINDINGS, ASSESSMENT, PLAN, OTHER = (frozenset({kind}) for kind in SENTENCE_KINDS)
KINDS = {
    "CHIEF COMPLAINT": COURSE,
    "HISTORY OF PRESENT ILLNESS": COURSE,
    "RESULTS": FINDINGS,
    "PHYSICAL EXAM": FINDINGS,
    "PHYSICAL EXAMINATION": FINDINGS,
    "ASSESSMENT AND PLAN": ASSESSMENT | PLAN,
    "PLAN": PLAN,
    "INSTRUCTIONS": PLAN,
    "ASSESSMENT": ASSESSMENT,
    "IMPRESSION": ASSESSMENT,
}
"""Kinds of the sentences by heading; under another heading they are of kind OTHER."""
_FEWEST_PARTS = 3


def notes_of_parts(rows: Sequence[dict[str, Any]], count: int, rng: random.Random) -> list[str]:
    """Notes composed of sections of other notes, so that rare sections are as frequent as common ones."""
    parts: dict[str, list[str]] = {}
    for row in rows:
        if row["section"] in HEADINGS_OF_PARTS and len(row["section_text"]) > 30:
            parts.setdefault(HEADINGS_OF_PARTS[row["section"]], []).append(row["section_text"].strip())
    notes: list[str] = []
    while len(parts) >= _FEWEST_PARTS and len(notes) < count:
        headings = rng.sample(sorted(parts), rng.randint(_FEWEST_PARTS, min(6, len(parts))))
        notes.append("".join(f"{heading}\n{rng.choice(parts[heading])}\n\n" for heading in headings))
    return notes


def kind_examples(
    notes: Sequence[str], labels: Sequence[TaggedLabel], max_characters: int, rng: random.Random
) -> list[Example]:
    """One example for each window: the kind of each sentence; for a heading any kind is right."""
    examples = []
    for note in notes:
        text, parts = _with_some_headings(note, rng)
        for start, end in windows_of({"text": text}, max_characters):
            window = text[start:end]
            kinds = tuple(
                _kind(sentence.start + start, sentence.end + start, parts) for sentence in sentences(window)
            )
            examples.append(Example(window_request(window, labels), kinds=kinds))
    return examples


def _kind(start: int, end: int, parts: Sequence[tuple[int, int, str]]) -> frozenset[str]:
    for first, last, heading in parts:
        if first <= start and end <= last:
            return KINDS.get(heading, OTHER)
    return frozenset(SENTENCE_KINDS)


def section_examples(
    notes: Sequence[str], max_characters: int, rng: random.Random, *, headings: float = 0.5
) -> list[Example]:
    """Two search examples for each window: a query of a section in it, and a query of any section.

    `headings`: the share of headings that are kept.
    """
    examples = []
    for note in notes:
        text, parts = _with_some_headings(note, rng, headings)
        for start, end in windows_of({"text": text}, max_characters):
            parts_in_window = [part for part in parts if part[1] > start and part[0] < end]
            own_heading = [rng.choice(parts_in_window)[2]] if parts_in_window else []
            for heading in [*own_heading, rng.choice(list(QUERIES))]:
                query = rng.choice(QUERIES[heading])
                spans = [(s - start, e - start) for s, e, name in parts_in_window if query in QUERIES[name]]
                examples.append(_search_example(text[start:end], query, spans))
    return examples


def answer_examples(rows: Sequence[dict[str, Any]], count: int, rng: random.Random) -> list[Example]:
    """Search examples: a question, and the first sentences of three answers, one of them its own."""
    examples = []
    for _ in range(count):
        drawn = rng.sample(rows, 3)
        text, spans = "", []
        for row in drawn:
            own = sentences(row["answer"])[: rng.randint(1, 4)]
            if not own:
                continue
            spans.append((len(text), len(text) + own[-1].end))
            text += row["answer"][: own[-1].end] + "\n"
        answer_number = rng.randrange(len(spans))
        examples.append(
            _search_example(
                text.rstrip(), drawn[answer_number]["question"], spans[answer_number : answer_number + 1]
            )
        )
    return [example for example in examples if len(example.request.copy) < 3_000]


def _with_some_headings(
    note: str, rng: random.Random, kept_share: float = 0.5
) -> tuple[str, list[tuple[int, int, str]]]:
    """The note with a share of its headings kept, and the (start, end, heading) of each section's text."""
    matches = list(_HEADING.finditer(note))
    text, parts = note[: matches[0].start()] if matches else note, []
    for number, match in enumerate(matches):
        stop = matches[number + 1].start() if number + 1 < len(matches) else len(note)
        if rng.random() < kept_share:
            text += match.group()
        parts.append((len(text), len(text) + stop - match.end(), match.group(1)))
        text += note[match.end() : stop]
    return text, parts


def _search_example(text: str, query: str, relevant_spans: list[tuple[int, int]]) -> Example:
    spans_of_sentences = [(sentence.start, sentence.end) for sentence in sentences(text)]
    # A heading on the line before is part of the first sentence, so its start may lie outside the section.
    middles = [(first + last) / 2 for first, last in spans_of_sentences]
    relevant = tuple(any(s <= middle <= e for s, e in relevant_spans) for middle in middles)
    choice = Choice(SEARCH_WORDS, tuple(last for _, last in spans_of_sentences))
    request = ScoreRequest(prompt("search", text, query=query), text, (choice,))
    return Example(request, is_relevant=relevant, query=query)
