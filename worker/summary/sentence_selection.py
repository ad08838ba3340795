"""Sentence selection of extractive summaries: the best sentences for the course and the follow-up that fit.

Candidates are sentences with the probability of a sentence kind, restricted by section and by phrases.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.answers import Span
from worker.note.parsed_note import Note
from worker.search.search_task import fused_scores
from worker.summary.sourced_phrases import SourcedPhrase, one_line, within_word_limit
from worker.weights.task_config import TaskConfig

_FOLLOW_UP_WORDS = "plan follow-up followup return appointment continue recheck clinic discharged"
_FOLLOW_UP_PHRASE = re.compile(
    r"""\b(?:follow(?:ed)?[ -]?up\b|appointments?\b|clinic\b|continue\b|instructed\b|plan(?:s|ned)?\b
    |discharged\b|discharge\s(?:home|instructions|plan|to)\b|recheck|recommend
    |returns?\s(?:to|in|for|if|visit)\b|to\sbe\s(?:followed|seen)\b
    |should\s(?:be\s(?:continued|followed|obtained|repeated|scheduled|seen)|call|continue|follow|return)\b
    |will\s(?:be\s)?(?:also\s)?(?:admit|arrange|check|continue|discharge|follow|give|have|keep|need|obtain
        |order|place|plan|proceed|refer|return|schedule|see|send|sent|start|undergo)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
"""A sentence outside a plan section counts as follow-up only with one of these phrases: sentence kinds alone
select badly, and "following an irrigation" or "returned to the scrotum" is not a follow-up."""
_MIN_SENTENCE_WORDS = 4
"""Minimum words of a sentence; shorter ones are headings or fragments."""
_MIN_LOWER_CASE_WORDS = 2
_NO_COURSE_SECTIONS = frozenset(
    {
        *("administrative", "allergies", "diagnoses", "discontinued", "examination", "family_history"),
        *("instructions", "medications", "past_history", "plan", "results", "review_of_systems"),
        "social_history",
    }
)
"""Kinds of sections without sentences for the course."""
_NO_COURSE_HEADING = re.compile(
    r"^(?:anesthesia|complications?|dates?|drains?|duration|estimated blood loss|fluids|specimens?|surgeon"
    r"|time|total)\b(?!.*(?:procedure|operation|surgery))",
    re.IGNORECASE,
)
"""Headings of sections whose content is only a word or two."""
_SENTENCE_ENDS = (".", "!", "?", '"')
_PLAN_SECTIONS = frozenset({"plan", "instructions"})


def course_candidates(note: Note, scored_sentences: Sequence[tuple[Span, float]]) -> list[tuple[Span, float]]:
    """Candidate sentences for the course; sentences in a course section get a higher score."""
    sections = [note.section_at(span.start) for span, _ in scored_sentences]
    likely = [
        (span, score + float(section.kind == "course"))
        for (span, score), section in zip(scored_sentences, sections, strict=True)
        if section.kind not in _NO_COURSE_SECTIONS and not _NO_COURSE_HEADING.match(section.title)
    ]
    return likely or list(scored_sentences)


def plan_candidates(
    note: Note, scored_sentences: Sequence[tuple[Span, float]], config: TaskConfig
) -> list[tuple[Span, float]]:
    """Candidate sentences for the follow-up: those of plan sections, else those with a follow-up phrase."""
    scored = fused_scores(note, _FOLLOW_UP_WORDS, scored_sentences, config)
    in_plan_section = [pair for pair in scored if note.section_at(pair[0].start).kind in _PLAN_SECTIONS]
    return in_plan_section or [
        pair for pair in scored if _FOLLOW_UP_PHRASE.search(sentence_body(note, pair[0]))
    ]


def select_sentences(
    note: Note, scored: Sequence[tuple[Span, float]], max_words: int, excluded: Sequence[Span]
) -> list[SourcedPhrase]:
    """The sentences with the highest scores that fit, in the order of the note, without their headings."""
    by_body: dict[str, tuple[Span, SourcedPhrase]] = {}
    for span, _ in sorted(scored, key=lambda pair: -pair[1]):
        if span not in excluded:
            by_body.setdefault(body := sentence_body(note, span), (span, SourcedPhrase(body, span)))
    long_enough = [(span, phrase) for span, phrase in by_body.values() if _is_sentence(phrase.text)]
    complete = [(span, phrase) for span, phrase in long_enough if phrase.text.endswith(_SENTENCE_ENDS)]
    selected = within_word_limit(complete or long_enough, max_words)
    return [phrase for _, phrase in sorted(selected, key=lambda pair: pair[0].start)]


def sentence_body(note: Note, span: Span) -> str:
    """A sentence without its heading, on one line; '' for administrative data: who, where and when."""
    section = note.section_at(span.start)
    start = max(span.start, min(section.body_start, span.end))
    if section.kind == "administrative" and "\n" not in note.text[section.start : start]:
        return ""
    return one_line(note.text[start : span.end].lstrip(" :,"))


def _is_sentence(text: str) -> bool:
    """True unless the text is a heading, a fragment or a signature."""
    words = text.split()
    return len(words) >= _MIN_SENTENCE_WORDS and sum(map(str.islower, words)) >= _MIN_LOWER_CASE_WORDS
