"""OMOP rows as note.csv and note_nlp.csv, and the typed views as SQL.

Formula characters stay as they are: the files are loaded into tables, and changed text would not match its
spans.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from exports.omop import omop_rows, omop_views
from exports.source.vocabulary import Vocabulary
from models.queries.note_export import ExportedNote


def write_files(
    notes: Iterable[ExportedNote], folder: Path, ids: omop_rows.NoteIds, vocabulary: Vocabulary
) -> None:
    """Writes two files with the columns of the CDM in its order; an empty cell is a null."""
    last_id = 0
    with (
        (folder / "note.csv").open("w", encoding="utf-8", newline="") as note_file,
        (folder / "note_nlp.csv").open("w", encoding="utf-8", newline="") as nlp_file,
    ):
        note_rows, nlp_rows = (
            csv.DictWriter(file, columns)
            for file, columns in ((note_file, omop_rows.NOTE_COLUMNS), (nlp_file, omop_rows.NLP_COLUMNS))
        )
        note_rows.writeheader()
        nlp_rows.writeheader()
        for note in notes:
            note_id = ids.of(note)
            note_rows.writerow(omop_rows.note_row(note, note_id))
            for row in omop_rows.nlp_rows(note, note_id, vocabulary):
                last_id += 1
                nlp_rows.writerow({"note_nlp_id": last_id, **row})
    views = ";\n\n".join(omop_views.statements("postgresql"))
    (folder / "views.sql").write_text(f"{views};\n", "utf-8")
