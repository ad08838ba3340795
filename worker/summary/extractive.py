"""The extractive summary: mentions and sentences of the note, grouped under sections.

Faithful by construction: every part is text of the note with its offsets. Tagged mentions give problems,
medications and findings; sentence kinds give course and follow-up.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Sequence

from models.answers import Assertion, Entity, Span, SummarySentence
from models.labels import Label
from worker.engine.api import Reply, Request
from worker.entities.entity_task import entities_of
from worker.entities.window_tagging import sentence_kinds, tagged_mentions, tagging_requests
from worker.note.dialogue import DialogueStatement, dialogue_statements, is_in_question
from worker.note.parsed_note import Note
from worker.search.search_task import fused_scores
from worker.summary.mention_lists import (
    count_words,
    fitting,
    is_in_topic_section,
    main_mention,
    medication_list,
    mention_list,
)
from worker.summary.stated_diagnoses import (
    TITLE_WORDS,
    SourcedPhrase,
    one_line,
    stated_diagnoses,
    stated_normal_findings,
    stated_problems,
    stated_procedure,
)
from worker.weights.task_config import TaskConfig

_FOLLOW_UP_WORDS = "plan follow-up followup return appointment continue recheck clinic discharged"
_FOLLOWING_UP = re.compile(
    r"""\b(?:follow(?:ed)?[ -]?up\b|appointments?\b|clinic\b|continue\b|instructed\b|plan(?:s|ned)?\b
    |discharged\b|discharge\s(?:home|instructions|plan|to)\b|recheck|recommend
    |returns?\s(?:to|in|for|if|visit)\b|to\sbe\s(?:followed|seen)\b
    |should\s(?:be\s(?:continued|followed|obtained|repeated|scheduled|seen)|call|continue|follow|return)\b
    |will\s(?:be\s)?(?:also\s)?(?:admit|arrange|check|continue|discharge|follow|give|have|keep|need|obtain
        |order|place|plan|proceed|refer|return|schedule|see|send|sent|start|undergo)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
"""A sentence outside a plan counts as follow-up only with one of these words: decisions alone chose badly,
and "following an irrigation" or "returned to the scrotum" is no follow-up."""

_SHARES = {"Problems": 0.25, "Findings": 0.13, "Medications": 0.2, "Follow-up": 0.2}
"""Shares of the allowed words by section; what is left goes to the course."""
_SHORTEST_SENTENCE_WORDS = 4
"""Fewest words of a sentence; shorter ones are headings or fragments."""
_LEAST_LOWER_WORDS = 2
_MOST_PROBLEMS = 8
_APART = frozenset(
    {
        *("administrative", "allergies", "diagnoses", "discontinued", "examination", "family_history"),
        *("instructions", "medications", "past_history", "plan", "results", "review_of_systems"),
        "social_history",
    }
)
"""Kinds of sections that contain no course."""
_ASIDE = re.compile(
    r"^(?:anesthesia|complications?|dates?|drains?|duration|estimated blood loss|fluids|specimens?|surgeon"
    r"|time|total)\b(?!.*(?:procedure|operation|surgery))",
    re.IGNORECASE,
)
"""Headings with only a word or two of content."""
_ENDS = (".", "!", "?", '"')
_PLANNING = frozenset({"plan", "instructions"})


def extractive_summary(
    note: Note, max_words: int, config: TaskConfig
) -> Generator[Sequence[Request], list[Reply], list[SummarySentence]]:
    """The title and the sections' sentences; a section without content is left out."""
    replies = yield tagging_requests(note, config)
    kinds = sentence_kinds(note, replies)
    labels = tuple(
        Label(name=name, definition=name, attribute_of=_owner(name)) for name in config.tagged_labels
    )
    entities = entities_of(note, tagged_mentions(note, replies, config), labels, config.negation_model)
    if said := dialogue_statements(note):
        return _conversation(note, entities, said, max_words)
    words = {name: round(share * max_words) for name, share in _SHARES.items()}
    chosen = {
        "Problems": _problems(note, entities, words["Problems"]),
        "Findings": mention_list(note, entities, "test", words["Findings"]),
        "Medications": medication_list(note, entities, words["Medications"]),
    }
    planned = _planned(note, [(sentence, of["plan"]) for sentence, of in kinds], config)
    plan = _sentences(note, planned, words["Follow-up"], taken=())
    title = _title(note, entities)
    used = sum(count_words(piece) for pieces in (*chosen.values(), plan, title) for piece in pieces)
    told = _sentences(
        note,
        _happened(note, [(sentence, of["course"]) for sentence, of in kinds]),
        max_words - used,
        taken=[
            piece.source
            for pieces in (plan, title, stated_diagnoses(note, _denied(entities)))
            for piece in pieces
        ],
    )
    return [
        SummarySentence(
            section="", text=_capitalised("; ".join(p.text for p in title)), sources=_sources(title)
        ),
        *_one_sentence("Problems", chosen["Problems"]),
        *_each("Course", told),
        *_one_sentence("Findings", chosen["Findings"]),
        *_one_sentence("Medications", chosen["Medications"]),
        *_each("Follow-up", plan),
    ]


def _conversation(
    note: Note, entities: Sequence[Entity], said: Sequence[DialogueStatement], max_words: int
) -> list[SummarySentence]:
    """Questions with their answers, and statements, as many as fit. Lists would include what was denied."""
    affirmed = [one for one in entities if not is_in_question(note, one.start)]
    title = main_mention(note, affirmed, "problem", 6)
    left, told = max_words - sum(count_words(piece) for piece in title), []
    for one in said:
        if len(one.text.split()) <= left:
            left -= len(one.text.split())
            told.append(SummarySentence(section="Course", text=one.text, sources=one.sources))
    heading = _capitalised("; ".join(piece.text for piece in title)) or "Conversation"
    return [SummarySentence(section="", text=heading, sources=_sources(title)), *told]


def _problems(note: Note, entities: Sequence[Entity], max_words: int) -> list[SourcedPhrase]:
    """The note's list of diagnoses, and beyond it the most important mentions."""
    told = [
        piece
        for _, piece in fitting(
            ((piece.source, piece) for piece in stated_problems(note, _denied(entities))), max_words
        )
    ]
    whole = " ".join(piece.text for piece in told).lower()
    left = max_words - sum(map(count_words, told))
    others = [one for one in mention_list(note, entities, "problem", left) if one.text.lower() not in whole]
    return [*told, *others[: max(0, _MOST_PROBLEMS - len(told))]]


def _sentences(
    note: Note, scored: Sequence[tuple[Span, float]], max_words: int, taken: Sequence[Span]
) -> list[SourcedPhrase]:
    """The sentences that answer best and fit, in the note's order, without preceding headings."""
    free: dict[str, tuple[Span, SourcedPhrase]] = {}
    for span, _ in sorted(scored, key=lambda one: -one[1]):
        if span not in taken:
            free.setdefault(body := _body(note, span), (span, SourcedPhrase(body, span)))
    long_enough = [one for one in free.values() if _is_sentence(one[1].text)]
    whole = [one for one in long_enough if one[1].text.endswith(_ENDS)]
    kept = fitting(whole or long_enough, max_words)
    return [piece for _, piece in sorted(kept, key=lambda one: one[0].start)]


def _body(note: Note, span: Span) -> str:
    """A sentence without its heading, on one line; '' where it says who, where and when."""
    section = note.section_at(span.start)
    start = max(span.start, min(section.body_start, span.end))
    if section.kind == "administrative" and "\n" not in note.text[section.start : start]:
        return ""
    return one_line(note.text[start : span.end].lstrip(" :,"))


def _is_sentence(text: str) -> bool:
    """True for a sentence that is no heading, fragment or signature."""
    words = text.split()
    return len(words) >= _SHORTEST_SENTENCE_WORDS and sum(map(str.islower, words)) >= _LEAST_LOWER_WORDS


def _happened(note: Note, decided: Sequence[tuple[Span, float]]) -> list[tuple[Span, float]]:
    """Candidate sentences for the course, those under its own heading first."""
    sections = [note.section_at(span.start) for span, _ in decided]
    likely = [
        (span, score + float(section.kind == "course"))
        for (span, score), section in zip(decided, sections, strict=True)
        if section.kind not in _APART and not _ASIDE.match(section.title)
    ]
    return likely or list(decided)


def _planned(
    note: Note, decided: Sequence[tuple[Span, float]], config: TaskConfig
) -> list[tuple[Span, float]]:
    """Sentences of a plan section; without one, those with follow-up words."""
    scored = fused_scores(note, _FOLLOW_UP_WORDS, decided, config)
    of_plan = [one for one in scored if note.section_at(one[0].start).kind in _PLANNING]
    return of_plan or [one for one in scored if _FOLLOWING_UP.search(_body(note, one[0]))]


def _denied(entities: Sequence[Entity]) -> list[Entity]:
    return [one for one in entities if one.assertion is Assertion.NEGATED]


def _title(note: Note, entities: Sequence[Entity]) -> list[SourcedPhrase]:
    """The stated diagnosis, otherwise the foremost problem, and the procedure; otherwise the first words."""
    done = [one for one in entities if is_in_topic_section(note, one)]
    denied = _denied(entities)
    found = (
        stated_problems(note, denied)
        or stated_normal_findings(note, denied)
        or main_mention(note, entities, "problem", 6)
    )
    title = [
        *found[:1],
        *(stated_procedure(note) or main_mention(note, done, "procedure", 8)),
    ]
    if title:
        return title
    first = _first_said(note)
    words = (_body(note, first) or note.text[first.start : first.end]).split()
    return [SourcedPhrase(" ".join(words[:TITLE_WORDS]), first)]


def _first_said(note: Note) -> Span:
    """The first sentence that is more than a heading; otherwise the first one."""
    for sentence in note.sentences:
        if sentence.end > note.section_at(sentence.start).body_start:
            return sentence
    return note.sentences[0]


def _one_sentence(section: str, pieces: Sequence[SourcedPhrase]) -> list[SummarySentence]:
    if not pieces:
        return []
    text = _capitalised("; ".join(piece.text for piece in pieces)).removesuffix(".") + "."  # "2.5 mg q.d."
    return [SummarySentence(section=section, text=text, sources=_sources(pieces))]


def _each(section: str, pieces: Sequence[SourcedPhrase]) -> list[SummarySentence]:
    return [SummarySentence(section=section, text=piece.text, sources=(piece.source,)) for piece in pieces]


def _sources(pieces: Iterable[SourcedPhrase]) -> tuple[Span, ...]:
    return tuple(dict.fromkeys(piece.source for piece in pieces))


def _owner(name: str) -> str | None:
    return {"dosage": "medication", "frequency": "medication", "route": "medication", "value": "test"}.get(
        name
    )


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
