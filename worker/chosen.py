"""The chosen summary: mentions and sentences of the note itself, grouped under sections.

Faithful by construction: every piece is text of the note with its offsets. What is chosen was decided:
marks name the problems, medications and findings; what each sentence tells of finds course and follow-up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from models.answers import Assertion, Entity, Span, SummarySentence
from models.labels import Label
from worker.dialogue import Said, exchanges, is_asked
from worker.engine import Reply, Request
from worker.entities import entities_of
from worker.likeness import shares_of_words
from worker.note import Note
from worker.reading import kinds_read, mentions_read, reading_requests
from worker.recipes import Ways
from worker.search import joined_scores
from worker.sections import Section

_FOLLOW_UP_WORDS = "plan follow-up followup return appointment continue recheck clinic discharged"
"""A sentence outside a plan tells of the follow-up only with one of these: decisions alone chose badly."""

_SHARES = {"Problems": 0.25, "Findings": 0.15, "Medications": 0.2, "Follow-up": 0.3}
"""Of the words allowed; what they leave goes to the course."""
_TITLE_WORDS = 14
_SHORTEST_SENTENCE_WORDS = 4
"""Fewer are a heading or a fragment."""
_LIST_NUMBER = re.compile(r"^\d{1,2}[.)]\s+")
_Place = TypeVar("_Place", int, Span)
_TELLING = frozenset({"diagnoses", "impression", "assessment", "procedure"})
"""Kinds of sections that say what the note is about."""
_DIAGNOSES = frozenset({"diagnoses", "impression", "assessment"})
_ANY_TITLE = re.compile("")
_OF_A_PROCEDURE = re.compile(
    r"^(?!.*\b(?:indications?|details?|description)\b).*\b(?:procedures?|operations?|surgery)\b",
    re.IGNORECASE,
)
"""Headings over the name of what was done; "ANESTHESIA" and "INDICATIONS FOR SURGERY" are of its kind too."""
_LONGEST_TELLING = 400
"""Characters of such a section: the details of a procedure say what was done, not what the note is about."""
_LEAST_MENTION = 0.5
"""A doubtful mention is a row among the entities, but nothing to tell a reader first."""
_PLANNING = frozenset({"plan", "instructions"})
_HOLDS = frozenset({Assertion.PRESENT, Assertion.POSSIBLE})


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some of the note's own words, and the sentence they stand in."""

    text: str
    source: Span


def choose(
    note: Note, max_words: int, how: Ways
) -> Generator[Sequence[Request], list[Reply], list[SummarySentence]]:
    """The title and the sections' sentences; a section without anything chosen is left out."""
    replies = yield reading_requests(note, how)
    kinds = kinds_read(note, replies)
    labels = tuple(Label(name=name, definition=name, attribute_of=_owner(name)) for name in how.marked_labels)
    entities = entities_of(note, mentions_read(note, replies, how), labels)
    if said := exchanges(note):
        return _conversation(note, entities, said, max_words)
    words = {name: round(share * max_words) for name, share in _SHARES.items()}
    chosen = {
        "Problems": _listed(note, entities, "problem", words["Problems"]),
        "Findings": _listed(note, entities, "test", words["Findings"]),
        "Medications": _listed(note, entities, "medication", words["Medications"]),
    }
    planned = _planned(note, [(sentence, of["plan"]) for sentence, of in kinds], how)
    plan = _sentences(note, planned, words["Follow-up"], taken=())
    title = _title(note, entities)
    used = sum(_num_words(piece) for pieces in (*chosen.values(), plan, title) for piece in pieces)
    told = _sentences(
        note,
        [(sentence, of["course"]) for sentence, of in kinds],
        max_words - used,
        taken=[piece.source for piece in plan],
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
    note: Note, entities: Sequence[Entity], said: Sequence[Said], max_words: int
) -> list[SummarySentence]:
    """Questions with their answers, and statements, as many as fit. Lists would tell what was denied."""
    stated = [one for one in entities if not is_asked(note, one.start)]
    title = _foremost(note, stated, "problem", 6)
    left, told = max_words - sum(_num_words(piece) for piece in title), []
    for one in said:
        if len(one.text.split()) <= left:
            left -= len(one.text.split())
            told.append(SummarySentence(section="Course", text=one.text, sources=one.sources))
    heading = _capitalised("; ".join(piece.text for piece in title)) or "Conversation"
    return [SummarySentence(section="", text=heading, sources=_sources(title)), *told]


def _foremost(note: Note, entities: Sequence[Entity], label: str, max_words: int) -> list[_Piece]:
    """The one mention that stands for the note, if there is any of this label."""
    groups = _groups(entities, label)
    fitting = [group for group in groups if len(group[0].text.split()) <= max_words]
    if not fitting:
        return []
    foremost = max(fitting, key=lambda group: sum(_weight(note, one) for one in group))
    return [_Piece(_one_line(foremost[0].text), note.sentence_at(foremost[0].start))]


def _weight(note: Note, entity: Entity) -> float:
    """How much a mention says what the note is about: more in a diagnosis, more in full words."""
    told = 3.0 if _is_told(note, entity) else 1.0
    return (entity.probability or 0.5) * told * math.sqrt(len(entity.text.split()))


def _is_told(note: Note, entity: Entity) -> bool:
    """Whether it stands in a short section that says what the note is about."""
    section = note.section_at(entity.start)
    return section.kind in _TELLING and _is_short(section)


def _is_short(section: Section) -> bool:
    return section.end - section.body_start <= _LONGEST_TELLING


def _groups(entities: Sequence[Entity], label: str) -> list[list[Entity]]:
    """Mentions of the same words that hold, in the order of their first."""
    groups: dict[str, list[Entity]] = {}
    for entity in entities:
        is_sure = entity.probability is None or entity.probability >= _LEAST_MENTION
        is_told = entity.assertion in _HOLDS and (label != "test" or bool(entity.attributes))
        if entity.label == label and is_sure and is_told:
            groups.setdefault(" ".join(entity.text.lower().split()), []).append(entity)
    return list(groups.values())


def _listed(note: Note, entities: Sequence[Entity], label: str, max_words: int) -> list[_Piece]:
    """The label's mentions that hold, most often and most surely named first chosen, in the note's order."""
    ranked = sorted(_groups(entities, label), key=lambda group: -sum(_weight(note, one) for one in group))
    names = {group[0].text.lower() for group in ranked}
    pieces = [
        (group[0].start, _piece(note, max(group, key=lambda one: len(one.attributes))))
        for group in ranked
        if not any(group[0].text.lower() in name for name in names - {group[0].text.lower()})
    ]
    kept = _within(pieces, max_words)
    return [piece for _, piece in sorted(kept, key=lambda one: one[0])]


def _piece(note: Note, entity: Entity) -> _Piece:
    """The mention with what is stated of it, as far as it follows within the same sentence."""
    sentence = note.sentence_at(entity.start)
    ends = [one.end for one in entity.attributes if entity.end <= one.start and one.end <= sentence.end]
    end = max([entity.end, *(one for one in ends if one - entity.end <= 60)])
    return _Piece(_one_line(note.text[entity.start : end]), sentence)


def _sentences(
    note: Note, scored: Sequence[tuple[Span, float]], max_words: int, taken: Sequence[Span]
) -> list[_Piece]:
    """The sentences that answer best and fit, in the note's order."""
    free = [
        (span, _Piece(_one_line(note.text[span.start : span.end]), span))
        for span, score in sorted(scored, key=lambda one: -one[1])
        if span not in taken
    ]
    long_enough = [one for one in free if _num_words(one[1]) >= _SHORTEST_SENTENCE_WORDS]
    kept = _within(long_enough, max_words)
    return [piece for _, piece in sorted(kept, key=lambda one: one[0].start)]


def _planned(note: Note, decided: Sequence[tuple[Span, float]], how: Ways) -> list[tuple[Span, float]]:
    """Sentences that may tell of a follow-up: of a plan's section, or with one of its words."""
    sentences = [note.text[span.start : span.end] for span, _ in decided]
    shares = shares_of_words(_FOLLOW_UP_WORDS, sentences, note.text)
    scored = joined_scores(note, _FOLLOW_UP_WORDS, decided, how)
    return [
        (span, score)
        for (span, score), share in zip(scored, shares, strict=True)
        if share > 0 or note.section_at(span.start).kind in _PLANNING
    ]


def _title(note: Note, entities: Sequence[Entity]) -> list[_Piece]:
    """The stated diagnosis, else the foremost problem, and the procedure; without any the first words."""
    done = [one for one in entities if _is_told(note, one)]
    title = [
        *(_stated(note, _DIAGNOSES, _ANY_TITLE) or _foremost(note, entities, "problem", 6)),
        *(_stated(note, {"procedure"}, _OF_A_PROCEDURE) or _foremost(note, done, "procedure", 8)),
    ]
    if title:
        return title
    first = _first_said(note)
    words = note.text[first.start : first.end].split()
    return [_Piece(" ".join(words[:_TITLE_WORDS]), first)]


def _stated(note: Note, kinds: Collection[str], title: re.Pattern[str]) -> list[_Piece]:
    """What the first short section of these kinds says first, if it is as short as a title."""
    for section in note.sections:
        if section.kind in kinds and title.search(section.title) and _is_short(section):
            first = note.sentence_at(section.body_start + 1)
            start = max(first.start, section.body_start)
            text = _one_line(note.text[start : first.end]).partition(".,")[0].strip(" ,.")
            if 1 < len(text.split()) <= _TITLE_WORDS:
                return [_Piece(text, first)]
    return []


def _first_said(note: Note) -> Span:
    """The first sentence that is more than a heading; the first of all where there is none."""
    for sentence in note.sentences:
        if sentence.end > note.section_at(sentence.start).body_start:
            return sentence
    return note.sentences[0]


def _within(ranked: Iterable[tuple[_Place, _Piece]], max_words: int) -> list[tuple[_Place, _Piece]]:
    """The first that fit, one after the other."""
    kept, left = [], max_words
    for one in ranked:
        if _num_words(one[1]) <= left:
            kept.append(one)
            left -= _num_words(one[1])
    return kept


def _one_sentence(section: str, pieces: Sequence[_Piece]) -> list[SummarySentence]:
    if not pieces:
        return []
    text = _capitalised("; ".join(piece.text for piece in pieces)) + "."
    return [SummarySentence(section=section, text=text, sources=_sources(pieces))]


def _each(section: str, pieces: Sequence[_Piece]) -> list[SummarySentence]:
    return [SummarySentence(section=section, text=piece.text, sources=(piece.source,)) for piece in pieces]


def _sources(pieces: Iterable[_Piece]) -> tuple[Span, ...]:
    return tuple(dict.fromkeys(piece.source for piece in pieces))


def _owner(name: str) -> str | None:
    return {"dosage": "medication", "frequency": "medication", "route": "medication", "value": "test"}.get(
        name
    )


def _num_words(piece: _Piece) -> int:
    return len(piece.text.split())


def _one_line(text: str) -> str:
    """The words of a piece on one line, without a list's number before them or its comma behind."""
    return _LIST_NUMBER.sub("", " ".join(text.split())).rstrip(" ,")


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
