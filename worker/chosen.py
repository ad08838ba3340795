"""The chosen summary: mentions and sentences of the note itself, grouped under sections.

Faithful by construction: every piece is text of the note with its offsets. What is chosen was decided:
marks name the problems, medications and findings; what each sentence tells of finds course and follow-up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Generator, Iterable, Sequence
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
from worker.stated import TITLE_WORDS, Piece, is_short, named_procedure, one_line, stated
from worker.words import word_set

_FOLLOW_UP_WORDS = "plan follow-up followup return appointment continue recheck clinic discharged"
"""A sentence outside a plan tells of the follow-up only with one of these: decisions alone chose badly."""

_SHARES = {"Problems": 0.25, "Findings": 0.13, "Medications": 0.2, "Follow-up": 0.2}
"""Of the words allowed; what they leave goes to the course."""
_SHORTEST_SENTENCE_WORDS = 4
"""Fewer are a heading or a fragment."""
_LEAST_LOWER_WORDS = 2
_Place = TypeVar("_Place", int, Span)
_TELLING = frozenset({"diagnoses", "impression", "assessment", "procedure"})
"""Kinds of sections that say what the note is about."""
_MOST_PROBLEMS = 8
_NOT_TAKEN = frozenset({"allergies", "discontinued", "family_history"})
_LEAVING = re.compile(r"\bdischarge|\btransfer", re.IGNORECASE)
_LEAST_LIST = 2
"""Medications that are a list."""
_EVERY_ATTRIBUTE = frozenset({"dosage", "frequency", "route", "value"})
_DOSE_ALONE = frozenset({"dosage"})
_APART = frozenset(
    {
        *("administrative", "allergies", "diagnoses", "discontinued", "examination", "family_history"),
        *("instructions", "medications", "past_history", "plan", "results", "review_of_systems"),
        "social_history",
    }
)
"""Kinds of sections that tell of no course."""
_ENDS = (".", "!", "?", '"')
_NEAR = 60
"""Characters between a mention and what is said of it that are still told in one piece."""
_MOST_BETWEEN = 4
"""Words between two things that are told in one piece: "heart rate in the 100s"; more is another matter."""
_NORMAL = word_set(
    """
    afebrile alert anicteric asymptomatic clear intact moist negative nondistended nonicteric nontender normal
    stable supple unremarkable wnl
    """
)
"""Last words of what was found and is no problem to tell."""
_LEAST_MENTION = 0.5
"""A doubtful mention is a row among the entities, but nothing to tell a reader first."""
_PLANNING = frozenset({"plan", "instructions"})
_HOLDS = frozenset({Assertion.PRESENT, Assertion.POSSIBLE})


def choose(
    note: Note, max_words: int, how: Ways
) -> Generator[Sequence[Request], list[Reply], list[SummarySentence]]:
    """The title and the sections' sentences; a section without anything chosen is left out."""
    replies = yield reading_requests(note, how)
    kinds = kinds_read(note, replies)
    labels = tuple(Label(name=name, definition=name, attribute_of=_owner(name)) for name in how.marked_labels)
    entities = entities_of(note, mentions_read(note, replies, how), labels, how.denial_join)
    if said := exchanges(note):
        return _conversation(note, entities, said, max_words)
    words = {name: round(share * max_words) for name, share in _SHARES.items()}
    chosen = {
        "Problems": _problems(note, entities, words["Problems"]),
        "Findings": _listed(note, entities, "test", words["Findings"]),
        "Medications": _medications(note, entities, words["Medications"]),
    }
    planned = _planned(note, [(sentence, of["plan"]) for sentence, of in kinds], how)
    plan = _sentences(note, planned, words["Follow-up"], taken=())
    title = _title(note, entities)
    used = sum(_num_words(piece) for pieces in (*chosen.values(), plan, title) for piece in pieces)
    told = _sentences(
        note,
        _happened(note, [(sentence, of["course"]) for sentence, of in kinds]),
        max_words - used,
        taken=[piece.source for pieces in (plan, chosen["Problems"]) for piece in pieces],
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
    affirmed = [one for one in entities if not is_asked(note, one.start)]
    title = _foremost(note, affirmed, "problem", 6)
    left, told = max_words - sum(_num_words(piece) for piece in title), []
    for one in said:
        if len(one.text.split()) <= left:
            left -= len(one.text.split())
            told.append(SummarySentence(section="Course", text=one.text, sources=one.sources))
    heading = _capitalised("; ".join(piece.text for piece in title)) or "Conversation"
    return [SummarySentence(section="", text=heading, sources=_sources(title)), *told]


def _foremost(note: Note, entities: Sequence[Entity], label: str, max_words: int) -> list[Piece]:
    """The one mention that stands for the note, if there is any of this label."""
    groups = [one for one in _groups(entities, label) if len(one[0].text.split()) <= max_words]
    fitting = _in_full(groups)
    if not fitting:
        return []
    foremost = max(fitting, key=lambda group: sum(_weight(note, one) for one in group))
    return [Piece(one_line(foremost[0].text), note.sentence_at(foremost[0].start))]


def _weight(note: Note, entity: Entity) -> float:
    """How much a mention says what the note is about: more in a diagnosis, more in full words."""
    told = 3.0 if _is_told(note, entity) else 1.0
    return (entity.probability or 0.5) * told * math.sqrt(len(entity.text.split()))


def _is_told(note: Note, entity: Entity) -> bool:
    """Whether it stands in a short section that says what the note is about."""
    section = note.section_at(entity.start)
    return section.kind in _TELLING and is_short(section)


def _groups(entities: Sequence[Entity], label: str) -> list[list[Entity]]:
    """Mentions of the same words that hold, in the order of their first."""
    groups: dict[str, list[Entity]] = {}
    for entity in entities:
        is_sure = entity.probability is None or entity.probability >= _LEAST_MENTION
        is_told = entity.assertion in _HOLDS and (label != "test" or bool(entity.attributes))
        is_normal = label == "problem" and entity.text.split()[-1].lower() in _NORMAL
        if entity.label == label and is_sure and is_told and not is_normal:
            groups.setdefault(" ".join(entity.text.lower().split()), []).append(entity)
    return list(groups.values())


def _in_full(groups: Sequence[list[Entity]]) -> list[list[Entity]]:
    """Those whose words are no part of another's: "pain" is told by "foot pain"."""
    names = {group[0].text.lower() for group in groups}
    return [
        group
        for group in groups
        if not any(group[0].text.lower() in name for name in names - {group[0].text.lower()})
    ]


def _listed(note: Note, entities: Sequence[Entity], label: str, max_words: int) -> list[Piece]:
    """The label's mentions that hold, most often and most surely named first chosen, in the note's order."""
    groups = _in_full(_groups(entities, label))
    ranked = sorted(groups, key=lambda group: -sum(_weight(note, one) for one in group))
    pieces = [
        (group[0].start, _piece(note, max(group, key=lambda one: len(one.attributes)))) for group in ranked
    ]
    if label == "test":  # without its result, which stands too far from it, it tells nothing
        names = {one_line(group[0].text).lower() for group in ranked}
        pieces = [one for one in pieces if one[1].text.lower() not in names]
    kept = _within(pieces, max_words)
    return [piece for _, piece in sorted(kept, key=lambda one: one[0])]


def _problems(note: Note, entities: Sequence[Entity], max_words: int) -> list[Piece]:
    """What the note's list of diagnoses says, and of what it does not, the foremost mentions."""
    told = [
        piece
        for _, piece in _within(
            ((piece.source, piece) for piece in stated(note, _denied(entities))), max_words
        )
    ]
    whole = " ".join(piece.text for piece in told).lower()
    left = max_words - sum(map(_num_words, told))
    others = [one for one in _listed(note, entities, "problem", left) if one.text.lower() not in whole]
    return [*told, *others[: max(0, _MOST_PROBLEMS - len(told))]]


def _medications(note: Note, entities: Sequence[Entity], max_words: int) -> list[Piece]:
    """Those of the list of medications, where there is one, as a whole if it fits with doses alone."""
    taken = [
        one
        for one in entities
        if one.label == "medication" and note.section_at(one.start).kind not in _NOT_TAKEN
    ]
    listed = [one for one in taken if note.section_at(one.start).kind == "medications"]
    discharged = [one for one in listed if _LEAVING.search(note.section_at(one.start).title)]
    if len(groups := _groups(discharged or listed, "medication")) < _LEAST_LIST:
        return _listed(note, taken, "medication", max_words)
    for attributes in (_EVERY_ATTRIBUTE, _DOSE_ALONE):
        pieces = [_piece(note, group[0], attributes) for group in groups]
        if sum(map(_num_words, pieces)) <= max_words:
            break
    return [piece for _, piece in _within(((piece.source, piece) for piece in pieces), max_words)]


def _piece(note: Note, entity: Entity, attributes: Collection[str] = _EVERY_ATTRIBUTE) -> Piece:
    """The mention with what is stated of it near by in the same sentence: "normal MRI", "aspirin 81 mg"."""
    sentence = note.sentence_at(entity.start)
    near = range(max(sentence.start, entity.start - _NEAR), min(sentence.end, entity.end + _NEAR) + 1)
    said = [
        one for one in entity.attributes if one.kind in attributes and one.start in near and one.end in near
    ]
    start = min([entity.start, *(one.start for one in said if one.kind == "value")])
    end = entity.end
    for one in sorted(said, key=lambda one: one.start):
        if len(note.text[end : one.start].split()) > _MOST_BETWEEN:
            break
        end = max(end, one.end)
    text = one_line(note.text[start:end])
    is_open = text.count("(") > text.count(")")
    return Piece(text[: text.rfind("(")].rstrip(" ,") if is_open else text, sentence)


def _sentences(
    note: Note, scored: Sequence[tuple[Span, float]], max_words: int, taken: Sequence[Span]
) -> list[Piece]:
    """The sentences that answer best and fit, in the note's order, without the headings before them."""
    free = [
        (span, Piece(_body(note, span), span))
        for span, score in sorted(scored, key=lambda one: -one[1])
        if span not in taken
    ]
    long_enough = [one for one in free if _is_sentence(one[1].text)]
    whole = [one for one in long_enough if one[1].text.endswith(_ENDS)]
    kept = _within(whole or long_enough, max_words)
    return [piece for _, piece in sorted(kept, key=lambda one: one[0].start)]


def _body(note: Note, span: Span) -> str:
    """What a sentence says after its heading, on one line; '' where it tells who, where and when."""
    section = note.section_at(span.start)
    start = max(span.start, min(section.body_start, span.end))
    if section.kind == "administrative" and "\n" not in note.text[section.start : start]:
        return ""
    return one_line(note.text[start : span.end].lstrip(" :,"))


def _is_sentence(text: str) -> bool:
    """No heading, no fragment, and nobody's signature."""
    words = text.split()
    return len(words) >= _SHORTEST_SENTENCE_WORDS and sum(map(str.islower, words)) >= _LEAST_LOWER_WORDS


def _happened(note: Note, decided: Sequence[tuple[Span, float]]) -> list[tuple[Span, float]]:
    """Sentences that may tell of the course, those under its own heading first."""
    kinds = [note.section_at(span.start).kind for span, _ in decided]
    likely = [
        (span, score + float(kind == "course"))
        for (span, score), kind in zip(decided, kinds, strict=True)
        if kind not in _APART
    ]
    return likely or list(decided)


def _planned(note: Note, decided: Sequence[tuple[Span, float]], how: Ways) -> list[tuple[Span, float]]:
    """Sentences of a plan's section; without one those with a word of a follow-up."""
    sentences = [note.text[span.start : span.end] for span, _ in decided]
    shares = shares_of_words(_FOLLOW_UP_WORDS, sentences, note.text)
    scored = joined_scores(note, _FOLLOW_UP_WORDS, decided, how)
    kinds = [note.section_at(span.start).kind for span, _ in scored]
    of_plan = [one for one, kind in zip(scored, kinds, strict=True) if kind in _PLANNING]
    return of_plan or [one for one, share in zip(scored, shares, strict=True) if share > 0]


def _denied(entities: Sequence[Entity]) -> list[Entity]:
    return [one for one in entities if one.assertion is Assertion.NEGATED]


def _title(note: Note, entities: Sequence[Entity]) -> list[Piece]:
    """The stated diagnosis, else the foremost problem, and the procedure; without any the first words."""
    done = [one for one in entities if _is_told(note, one)]
    title = [
        *(stated(note, _denied(entities))[:1] or _foremost(note, entities, "problem", 6)),
        *(named_procedure(note) or _foremost(note, done, "procedure", 8)),
    ]
    if title:
        return title
    first = _first_said(note)
    words = note.text[first.start : first.end].split()
    return [Piece(" ".join(words[:TITLE_WORDS]), first)]


def _first_said(note: Note) -> Span:
    """The first sentence that is more than a heading; the first of all where there is none."""
    for sentence in note.sentences:
        if sentence.end > note.section_at(sentence.start).body_start:
            return sentence
    return note.sentences[0]


def _within(ranked: Iterable[tuple[_Place, Piece]], max_words: int) -> list[tuple[_Place, Piece]]:
    """The first that fit, one after the other."""
    kept, left = [], max_words
    for one in ranked:
        if _num_words(one[1]) <= left:
            kept.append(one)
            left -= _num_words(one[1])
    return kept


def _one_sentence(section: str, pieces: Sequence[Piece]) -> list[SummarySentence]:
    if not pieces:
        return []
    text = _capitalised("; ".join(piece.text for piece in pieces)).removesuffix(".") + "."  # "2.5 mg q.d."
    return [SummarySentence(section=section, text=text, sources=_sources(pieces))]


def _each(section: str, pieces: Sequence[Piece]) -> list[SummarySentence]:
    return [SummarySentence(section=section, text=piece.text, sources=(piece.source,)) for piece in pieces]


def _sources(pieces: Iterable[Piece]) -> tuple[Span, ...]:
    return tuple(dict.fromkeys(piece.source for piece in pieces))


def _owner(name: str) -> str | None:
    return {"dosage": "medication", "frequency": "medication", "route": "medication", "value": "test"}.get(
        name
    )


def _num_words(piece: Piece) -> int:
    return len(piece.text.split())


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
