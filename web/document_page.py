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
from web.text_segments import HighlightTarget, TextSegment, segments_of

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
class AnnotatedSpan:
    """A span of the note that is underlined: a mention, or an attribute of one."""

    start: int
    end: int
    label: str
    text: str
    assertion: Assertion = Assertion.PRESENT
    probability: float | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    """Kind and text of each."""
    verdict: str = ""
    """Empty where nobody has reviewed it."""
    found: MentionKey | None = None
    """The mention that a correction refers to; None for an attribute."""

    @property
    def key(self) -> str:
        """Its id in the page; a correction does not change it."""
        return f"m{self.found.start}-{self.found.end}-{self.found.label}" if self.found else ""

    @property
    def words(self) -> str:
        """Its description for a screen reader."""
        parts = [" ".join(self.text.split()), self.label]
        if self.assertion is not Assertion.PRESENT:
            parts.append(self.assertion.value)
        return ", ".join([*parts, *([self.verdict] if self.verdict else [])])

    @property
    def more(self) -> str:
        """Details, such as 'problem · negated · 97 % sure · dosage 81 mg'."""
        assertion = [] if self.assertion is Assertion.PRESENT else [self.assertion.value]
        probability = [] if self.probability is None else [f"{self.probability * 100:.0f} % sure"]
        return " · ".join(
            [self.label, *assertion, *probability, *(f"{kind} {text}" for kind, text in self.attributes)]
        )

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
    """Content of the page of one document."""

    document: StoredDocument
    segments: tuple[TextSegment, ...]
    spans: tuple[AnnotatedSpan, ...]
    title: str
    sections: tuple[tuple[str, tuple[PageSentence, ...]], ...]
    searches: tuple[PageSearch, ...]
    unanswered: tuple[dict[str, Any], ...]
    """Jobs that are not finished: `task`, `status`, `reason`, `detail`."""
    has_entities: bool
    """True where an entity job has finished, also with no entity."""

    @property
    def mentions(self) -> list[AnnotatedSpan]:
        return [span for span in self.spans if span.found is not None]

    @property
    def labels(self) -> dict[str, int]:
        """Counts of mentions by label, the usual labels first."""
        counts = Counter(span.label for span in self.mentions)
        return dict(sorted(counts.items(), key=lambda item: (_label_rank(item[0]), item[0])))

    @property
    def assertions(self) -> dict[str, int]:
        counts = Counter(span.assertion.value for span in self.mentions)
        return {
            assertion.value: counts[assertion.value] for assertion in Assertion if counts[assertion.value]
        }

    @property
    def styles(self) -> dict[str, int]:
        """Number of the style for each label, 1 to LABEL_STYLES; the usual labels always have the same."""
        others = [label for label in self.labels if label not in _USUAL_LABELS]
        numbered = {label: number for number, label in enumerate((*_USUAL_LABELS, *others))}
        return {label: number % LABEL_STYLES + 1 for label, number in numbered.items()}

    @property
    def unreviewed(self) -> int:
        """Number of mentions that nobody has reviewed."""
        return sum(not span.verdict for span in self.mentions)


def document_view(
    document: StoredDocument, answers: Sequence[dict[str, Any]], corrections: Sequence[Correction] = ()
) -> DocumentView:
    """`answers` are the newest to each question, as `models.queries.results.newest_answers` gives them."""
    entities = [entity for answer in answers for entity in answer.get("entities", ())]
    text = shown(document.text)
    spans = _annotated_spans(text, with_verdicts(entities, corrections))
    title, sections, source_highlights = _summary(answers)
    searches, passage_highlights = _searches(answers)
    return DocumentView(
        document=document,
        segments=tuple(segments_of(text, spans, [*source_highlights, *passage_highlights])),
        spans=tuple(spans),
        title=title,
        sections=sections,
        searches=searches,
        unanswered=tuple(answer for answer in answers if answer["status"] != "finished"),
        has_entities=any("entities" in answer for answer in answers),
    )


def _annotated_spans(text: str, entities: Sequence[dict[str, Any]]) -> list[AnnotatedSpan]:
    spans = []
    for entity in entities:
        start, end = entity["start"], entity["end"]
        mention = AnnotatedSpan(
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
        spans.append(mention)
        if entity["verdict"] != Verdict.REJECTED:
            spans += [AnnotatedSpan(a["start"], a["end"], a["kind"], a["text"]) for a in entity["attributes"]]
    return sorted(spans, key=lambda span: (span.start, -span.end, span.label))


def _summary(
    answers: Sequence[dict[str, Any]],
) -> tuple[str, tuple[tuple[str, tuple[PageSentence, ...]], ...], list[HighlightTarget]]:
    summary = next((answer["summary"] for answer in answers if "summary" in answer), None)
    if summary is None:
        return "", (), []
    highlights = []
    sections: dict[str, list[PageSentence]] = {}
    for number, stored in enumerate(summary["sentences"]):
        key = f"s{number}"
        highlights += [HighlightTarget(key, source["start"], source["end"]) for source in stored["sources"]]
        starts = tuple(source["start"] for source in stored["sources"])
        sentence = PageSentence(key, " ".join(stored["text"].split()), tuple(stored["flags"]), starts)
        sections.setdefault(stored["section"], []).append(sentence)
    return (
        summary["title"],
        tuple((title, tuple(sentences)) for title, sentences in sections.items()),
        highlights,
    )


def _searches(answers: Sequence[dict[str, Any]]) -> tuple[tuple[PageSearch, ...], list[HighlightTarget]]:
    highlights, searches = [], []
    for search_number, answer in enumerate(result for result in answers if "passages" in result):
        passages = []
        for number, passage in enumerate(answer["passages"]):
            key = f"p{search_number}-{number}"
            highlights.append(HighlightTarget(key, passage["start"], passage["end"]))
            passages.append(
                PagePassage(key, passage["start"], " ".join(passage["text"].split()), passage["score"])
            )
        searches.append(PageSearch(answer["parameters"]["query"], tuple(passages)))
    return tuple(searches), highlights


def _label_rank(label: str) -> int:
    return _USUAL_LABELS.index(label) if label in _USUAL_LABELS else len(_USUAL_LABELS)
