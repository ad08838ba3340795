"""Content of a document's page: the note in segments, mentions, summary, passages, unanswered jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.answers import Assertion
from models.corrections import Correction, MentionKey, Verdict, with_verdicts
from models.documents import StoredDocument
from web.html_rendering import shown
from web.text_segments import HighlightTarget, TextSegment, pieces

_USUAL_LABELS = ("problem", "medication", "test", "procedure", "anatomy")
_AFTER = {
    Assertion.NEGATED: "not",
    Assertion.POSSIBLE: "maybe",
    Assertion.HISTORICAL: "past",
    Assertion.CONDITIONAL: "if",
    Assertion.FAMILY: "family",
}
_SIGNS: dict[str, str] = {
    Verdict.ACCEPTED: "✓",
    Verdict.FIXED: "✎",
    Verdict.REJECTED: "✗",
    Verdict.ADDED: "+",
}
LABEL_STYLES = 8
"""Number of label styles in the style sheet; further labels share them."""


@dataclass(frozen=True, slots=True)
class PageMark:
    """A stretch of the note that is underlined: a mention, or an attribute of one."""

    start: int
    end: int
    label: str
    text: str
    assertion: Assertion = Assertion.PRESENT
    probability: float | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    """Kind and text of each."""
    verdict: str = ""
    """Empty: nobody has looked."""
    found: MentionKey | None = None
    """What a correction of it is about; none: an attribute."""

    @property
    def key(self) -> str:
        """Names it in the page, however it is corrected."""
        return f"m{self.found.start}-{self.found.end}-{self.found.label}" if self.found else ""

    @property
    def words(self) -> str:
        """What a screen reader says of it."""
        parts = [" ".join(self.text.split()), self.label]
        if self.assertion is not Assertion.PRESENT:
            parts.append(self.assertion.value)
        return ", ".join([*parts, *([self.verdict] if self.verdict else [])])

    @property
    def more(self) -> str:
        """What the label does not say, e.g. 'negated · 97 % sure · dosage 81 mg'."""
        said = [] if self.assertion is Assertion.PRESENT else [self.assertion.value]
        sure = [] if self.probability is None else [f"{self.probability * 100:.0f} % sure"]
        return " · ".join([self.label, *said, *sure, *(f"{kind} {text}" for kind, text in self.attributes)])

    @property
    def after(self) -> str:
        """A small word behind the mention, so that colour is not the only sign."""
        words = (_AFTER.get(self.assertion, ""), _SIGNS.get(self.verdict, ""))
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class PageSentence:
    """A sentence of the summary, and where its sources begin in the note."""

    key: str
    text: str
    flags: tuple[str, ...]
    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PagePassage:
    """A sentence of the note that answers a query."""

    key: str
    start: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class PageSearch:
    """A query and its passages, the most relevant first."""

    query: str
    passages: tuple[PagePassage, ...]


@dataclass(frozen=True, slots=True)
class DocumentView:
    """All that the page of one document shows."""

    document: StoredDocument
    pieces: tuple[TextSegment, ...]
    marks: tuple[PageMark, ...]
    title: str
    sections: tuple[tuple[str, tuple[PageSentence, ...]], ...]
    searches: tuple[PageSearch, ...]
    unanswered: tuple[dict[str, Any], ...]
    """Jobs that are not finished: `task`, `status`, `reason`, `detail`."""
    has_entities: bool
    """Entities were asked for and answered, be it with none."""

    @property
    def mentions(self) -> list[PageMark]:
        return [mark for mark in self.marks if mark.found is not None]

    @property
    def labels(self) -> dict[str, int]:
        """How many mentions of each label, the usual labels first."""
        counts = Counter(mark.label for mark in self.mentions)
        return dict(sorted(counts.items(), key=lambda item: (_usual_place(item[0]), item[0])))

    @property
    def assertions(self) -> dict[str, int]:
        counts = Counter(mark.assertion.value for mark in self.mentions)
        return {
            assertion.value: counts[assertion.value] for assertion in Assertion if counts[assertion.value]
        }

    @property
    def styles(self) -> dict[str, int]:
        """By label the number of its style, 1 to LABEL_STYLES; the usual labels always have the same."""
        others = [label for label in self.labels if label not in _USUAL_LABELS]
        numbered = {label: number for number, label in enumerate((*_USUAL_LABELS, *others))}
        return {label: number % LABEL_STYLES + 1 for label, number in numbered.items()}

    @property
    def unreviewed(self) -> int:
        """Mentions that nobody has looked at."""
        return sum(not mark.verdict for mark in self.mentions)


def document_page_of(
    document: StoredDocument, answers: Sequence[dict[str, Any]], corrections: Sequence[Correction] = ()
) -> DocumentView:
    """`answers` are the newest to each question, as `models.queries.results.newest_answers` gives them."""
    entities = [entity for answer in answers for entity in answer.get("entities", ())]
    text = shown(document.text)
    marks = _marks(text, with_verdicts(entities, corrections))
    title, sections, source_lights = _summary(answers)
    searches, passage_lights = _searches(answers)
    return DocumentView(
        document=document,
        pieces=tuple(pieces(text, marks, [*source_lights, *passage_lights])),
        marks=tuple(marks),
        title=title,
        sections=sections,
        searches=searches,
        unanswered=tuple(answer for answer in answers if answer["status"] != "finished"),
        has_entities=any("entities" in answer for answer in answers),
    )


def _marks(text: str, entities: Sequence[dict[str, Any]]) -> list[PageMark]:
    marks = []
    for entity in entities:
        start, end = entity["start"], entity["end"]
        mention = PageMark(
            start,
            end,
            entity["label"],
            text[start:end],
            Assertion(entity["assertion"]),
            entity["probability"],
            tuple((attribute["kind"], attribute["text"]) for attribute in entity["attributes"]),
            entity["verdict"],
            entity["found"],
        )
        marks.append(mention)
        if entity["verdict"] != Verdict.REJECTED:
            marks += [PageMark(a["start"], a["end"], a["kind"], a["text"]) for a in entity["attributes"]]
    return sorted(marks, key=lambda mark: (mark.start, -mark.end, mark.label))


def _summary(
    answers: Sequence[dict[str, Any]],
) -> tuple[str, tuple[tuple[str, tuple[PageSentence, ...]], ...], list[HighlightTarget]]:
    summary = next((answer["summary"] for answer in answers if "summary" in answer), None)
    if summary is None:
        return "", (), []
    lights = []
    sections: dict[str, list[PageSentence]] = {}
    for place, stored in enumerate(summary["sentences"]):
        key = f"s{place}"
        lights += [HighlightTarget(key, source["start"], source["end"]) for source in stored["sources"]]
        starts = tuple(source["start"] for source in stored["sources"])
        sentence = PageSentence(key, " ".join(stored["text"].split()), tuple(stored["flags"]), starts)
        sections.setdefault(stored["section"], []).append(sentence)
    return summary["title"], tuple((title, tuple(sentences)) for title, sentences in sections.items()), lights


def _searches(answers: Sequence[dict[str, Any]]) -> tuple[tuple[PageSearch, ...], list[HighlightTarget]]:
    lights, searches = [], []
    for number, answer in enumerate(result for result in answers if "passages" in result):
        passages = []
        for place, passage in enumerate(answer["passages"]):
            key = f"p{number}-{place}"
            lights.append(HighlightTarget(key, passage["start"], passage["end"]))
            passages.append(
                PagePassage(key, passage["start"], " ".join(passage["text"].split()), passage["score"])
            )
        searches.append(PageSearch(answer["parameters"]["query"], tuple(passages)))
    return tuple(searches), lights


def _usual_place(label: str) -> int:
    return _USUAL_LABELS.index(label) if label in _USUAL_LABELS else len(_USUAL_LABELS)
