"""Table presets: note tables that many hospitals share, their columns and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One layout of a database, or of files exported from it."""

    name: str
    tables: tuple[str, ...]
    """Tables that hold notes; all that exist are read."""
    schemas: tuple[str, ...]
    """Schemas in which the tables are looked for, after the connection's own and before all others."""
    id_column: str
    text_column: str
    meanings: Mapping[str, tuple[str, ...]]
    """By the metadata name shared by all formats, the columns to take it from; the first that exists counts.
    """


OMOP = Preset(
    name="omop",
    tables=("note",),
    schemas=("cdm", "omop", "omop_cdm"),
    id_column="note_id",
    text_column="note_text",
    meanings={
        "patient": ("person_id",),
        "encounter": ("visit_occurrence_id",),
        "type": ("note_class_concept_id", "note_type_concept_id"),
        "title": ("note_title",),
        "date": ("note_datetime", "note_date"),
    },
)
"""The note table of the OMOP CDM v5.4, https://ohdsi.github.io/CommonDataModel/cdm54.html#note"""
MIMIC = Preset(
    name="mimic",
    tables=("discharge", "radiology"),
    schemas=("mimiciv_note", "mimic_note", "mimiciv"),
    id_column="note_id",
    text_column="text",
    meanings={
        "patient": ("subject_id",),
        "encounter": ("hadm_id",),
        "type": ("note_type",),
        "date": ("charttime", "storetime"),
    },
)
"""MIMIC-IV-Note 2.2, https://mimic.mit.edu/docs/iv/modules/note/"""
PRESETS = {preset.name: preset for preset in (OMOP, MIMIC)}


def preset_named(name: str | None) -> Preset | None:
    """The preset of this name; None for None. Raises UsageError."""
    if name is None:
        return None
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name!r}. Presets: {', '.join(PRESETS)}.")
    return PRESETS[name]
