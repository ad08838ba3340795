"""Rows of OMOP CDM v5.4 `note` and `note_nlp` from a note and its entities. Pure.

https://ohdsi.github.io/CommonDataModel/cdm54.html#note_nlp says what a column means and how long it may be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from exports.source import export_metadata
from exports.source.vocabulary import Vocabulary
from models.queries.note_export import ExportedNote

_SNIPPET_CHARACTERS = 250
_VARIANT_CHARACTERS = 250
_MODIFIERS_CHARACTERS = 2_000
_TITLE_CHARACTERS = 250
_SOURCE_VALUE_CHARACTERS = 50
_NO_CONCEPT = 0
UTF_8_CONCEPT = 32678
ENGLISH_CONCEPT = 4180186
_NOT_OF_THE_PATIENT_NOW = {"negated", "family", "conditional"}
"""Assertions for which the CDM's rule sets term_exists to N: negated, of another person, or conditional.
`possible` is Y: only very low certainty makes an N."""
_TEMPORAL = {"historical": "Past"}
NOTE_COLUMNS = (
    *("note_id", "person_id", "note_date", "note_datetime", "note_type_concept_id", "note_class_concept_id"),
    *("note_title", "note_text", "encoding_concept_id", "language_concept_id", "provider_id"),
    *("visit_occurrence_id", "visit_detail_id", "note_source_value", "note_event_id"),
    "note_event_field_concept_id",
)
NLP_COLUMNS = (
    *("note_nlp_id", "note_id", "section_concept_id", "snippet", "offset", "lexical_variant"),
    *("note_nlp_concept_id", "note_nlp_source_concept_id", "nlp_system", "nlp_date", "nlp_datetime"),
    *("term_exists", "term_temporal", "term_modifiers"),
)


@dataclass(frozen=True, slots=True)
class NoteIds:
    """The numbering of notes: their own ids where all are numbers, otherwise notemill's."""

    are_own: bool

    def of(self, note: ExportedNote) -> int:
        return int(note.external_id) if self.are_own else note.document_id


def note_ids(external_ids: Iterator[str]) -> NoteIds:
    """The numbering; notes from a `note` table keep their note_id. Mixed, two notes could get one number."""
    return NoteIds(
        all(
            export_metadata.whole_number(external_id) is not None and external_id[:1] != "0"
            for external_id in external_ids
        )
    )


def note_row(note: ExportedNote, note_id: int) -> dict[str, Any]:
    """A row of `note`; what the source did not say is 0 or empty, as in the CDM."""
    written_at = export_metadata.moment(note) or datetime.fromisoformat(note.registered_at)
    given = {name: export_metadata.whole_number(note.metadata.get(name)) for name in NOTE_COLUMNS}
    return {
        **given,
        "note_id": note_id,
        "person_id": export_metadata.whole_number(export_metadata.patient(note)) or _NO_CONCEPT,
        "note_date": written_at.date(),
        "note_datetime": written_at.replace(tzinfo=None),
        "note_type_concept_id": given["note_type_concept_id"] or _NO_CONCEPT,
        "note_class_concept_id": given["note_class_concept_id"] or _NO_CONCEPT,
        "note_title": export_metadata.title(note)[:_TITLE_CHARACTERS] or None,
        "note_text": note.text,
        "encoding_concept_id": given["encoding_concept_id"] or UTF_8_CONCEPT,
        "language_concept_id": given["language_concept_id"] or ENGLISH_CONCEPT,
        "visit_occurrence_id": export_metadata.whole_number(export_metadata.encounter(note)),
        "note_source_value": note.external_id[:_SOURCE_VALUE_CHARACTERS],
    }


def nlp_rows(note: ExportedNote, note_id: int, vocabulary: Vocabulary) -> Iterator[dict[str, Any]]:
    """A row for each entity, without its note_nlp_id."""
    for answer, entity in note.items("entities"):
        concept = vocabulary.concept(entity["label"], entity["text"])
        done = datetime.fromisoformat(answer["finished_at"]).replace(tzinfo=None)
        yield {
            "note_id": note_id,
            "section_concept_id": _NO_CONCEPT,
            "snippet": snippet(note.text, entity["start"], entity["end"]),
            "offset": str(entity["start"]),
            "lexical_variant": entity["text"][:_VARIANT_CHARACTERS],
            "note_nlp_concept_id": concept.concept_id,
            "note_nlp_source_concept_id": concept.source_concept_id,
            "nlp_system": nlp_system(answer),
            "nlp_date": done.date(),
            "nlp_datetime": done,
            "term_exists": "N" if entity["assertion"] in _NOT_OF_THE_PATIENT_NOW else "Y",
            "term_temporal": _TEMPORAL.get(entity["assertion"], "Present"),
            "term_modifiers": modifiers(entity),
        }


def nlp_system(answer: dict[str, Any]) -> str:
    """The system's name, such as 'notemill 0b0a3b7a52cd51e4', with the recipe."""
    return f"notemill {answer['recipe']}"


def snippet(text: str, start: int, end: int) -> str:
    """The mention with as much context as the column takes."""
    around = max(0, _SNIPPET_CHARACTERS - (end - start)) // 2
    return text[max(0, start - around) : end + around][:_SNIPPET_CHARACTERS]


def modifiers(entity: dict[str, Any]) -> str:
    """Modifiers such as 'label=medication;assertion=present;end=45;dosage=100 mg'; whole pairs, as many as
    fit."""
    pairs = [("label", entity["label"]), ("assertion", entity["assertion"]), ("end", entity["end"])]
    if entity["probability"] is not None:
        pairs.append(("probability", f"{entity['probability']:.4f}"))
    pairs += [(attribute["kind"], attribute["text"]) for attribute in entity["attributes"]]
    modifiers = ""
    for name, value in pairs:
        pair = f"{name}={' '.join(str(value).replace(';', ',').split())}"
        if len(modifiers) + 1 + len(pair) <= _MODIFIERS_CHARACTERS:
            modifiers += f";{pair}" if modifiers else pair
    return modifiers
