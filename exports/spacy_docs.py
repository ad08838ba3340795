"""spaCy: a folder of DocBin files, as `spacy train` and `spacy.training.Corpus` read it.

`doc.text` is the note. `doc.ents` has the entities that do not overlap, longest first; `doc.spans` has all of
them under "entities", and attributes and passages; `doc.user_data["notemill"]` what a span cannot carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.queries.note_export import ExportedNote

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Span

_DOCS_A_FILE = 500
"""Documents in one DocBin, which is held in memory; with long notes some MB."""
_ATTRIBUTES = ["ENT_IOB", "ENT_TYPE", "SPACY"]


def write_spacy(notes: Iterable[ExportedNote], folder: Path) -> None:
    """Writes `notes-00000.spacy`, `notes-00001.spacy`, …"""
    import spacy
    from spacy.tokens import DocBin

    english, rest, number = spacy.blank("en"), iter(notes), 0
    english.max_length = 10**9
    while batch := list(islice(rest, _DOCS_A_FILE)):
        docs = [doc_of(note, english) for note in batch]
        packed = DocBin(attrs=_ATTRIBUTES, store_user_data=True, docs=docs)
        packed.to_disk(folder / f"notes-{number:05}.spacy")
        number += 1


def doc_of(note: ExportedNote, english: Language) -> Doc:
    """The tokens of `english`, split wherever a span begins or ends, so that no span is lost."""
    from spacy.util import filter_spans

    spans = [_trimmed(note.text, span) for span in _spans(note)]
    doc = _cut(note.text, english, {edge for span in spans for edge in (span["start"], span["end"])})
    for group in ("entities", "attributes", "passages"):
        of_group = [span for span in spans if span["group"] == group]
        doc.spans[group] = [_span(doc, span) for span in of_group]
    doc.ents = filter_spans(doc.spans["entities"])
    doc.user_data["notemill"] = {
        "document": note.external_id,
        "entities": [span["more"] for span in spans if span["group"] == "entities"],
        "summaries": [summary["text"] for _, summary in note.summaries()],
    }
    return doc


def _span(doc: Doc, span: dict[str, Any]) -> Span:
    doc_span = doc.char_span(span["start"], span["end"], label=span["label"])
    assert doc_span is not None, "a span's edges are edges of tokens"
    return doc_span


def _spans(note: ExportedNote) -> Iterator[dict[str, Any]]:
    for _, entity in note.items("entities"):
        more = {name: entity[name] for name in ("assertion", "probability", "attributes")}
        yield {**entity, "group": "entities", "more": more}
        for attribute in entity["attributes"]:
            yield {**attribute, "group": "attributes", "label": attribute["kind"]}
    for answer, passage in note.items("passages"):
        yield {**passage, "group": "passages", "label": answer["parameters"]["query"]}


def _trimmed(text: str, span: dict[str, Any]) -> dict[str, Any]:
    """The span without white space at its ends, which is no token in spaCy."""
    quoted = text[span["start"] : span["end"]]
    start = span["start"] + len(quoted) - len(quoted.lstrip())
    return {**span, "start": start, "end": max(start, span["end"] - len(quoted) + len(quoted.rstrip()))}


def _cut(text: str, english: Language, edges: set[int]) -> Doc:
    from spacy.tokens import Doc

    words: list[str] = []
    has_space: list[bool] = []
    for token in english.make_doc(text):
        start, end = token.idx, token.idx + len(token)
        cuts = [start, *sorted(edge for edge in edges if start < edge < end), end]
        words += [text[start:end] for start, end in pairwise(cuts)]
        has_space += [*(False for _ in cuts[2:]), bool(token.whitespace_)]
    return Doc(english.vocab, words=words, spaces=has_space)
