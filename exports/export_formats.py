"""Export formats by name: the writer, and whether it makes a file, a folder or rows in a database.

Imports a library only when its format is requested.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from exports.atomic_files import MARK, whole_file, whole_folder
from exports.source.vocabulary import Vocabulary
from models.errors import UsageError
from models.queries.note_export import ExportedNote

Notes = Iterable[ExportedNote]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """The notes to export, the destination and the vocabulary."""

    notes: Notes
    external_ids: Iterator[str]
    """Ids of the same notes; read only by the format that numbers them."""
    output: str
    vocabulary: Vocabulary

    @property
    def path(self) -> Path:
        return Path(self.output)


def write(form: str, exported: ExportRequest) -> None:
    """Writes everything or nothing. Raises UsageError for a target that the format cannot write."""
    _require_library(form)
    _WRITERS[form](exported)


def _omop(exported: ExportRequest) -> None:
    from exports.omop.omop_rows import note_ids

    ids = note_ids(exported.external_ids)
    if "://" in exported.output:
        from exports.omop.omop_database import write_database

        write_database(exported.notes, exported.output, ids, exported.vocabulary)
        return
    from exports.omop.omop_files import write_files

    with _folder(exported, "omop") as folder:
        write_files(exported.notes, folder, ids, exported.vocabulary)


def _fhir(exported: ExportRequest) -> None:
    from exports.fhir.fhir_bundle import write_fhir

    with whole_file(exported.path) as file:
        write_fhir(exported.notes, file, exported.vocabulary)


def _parquet(exported: ExportRequest) -> None:
    from exports.partitioned_parquet import write_runs

    with _folder(exported, "parquet") as folder:
        write_runs(_answers(exported.notes), folder)


def _jsonl(exported: ExportRequest) -> None:
    from exports.result_files import write_jsonl

    with whole_file(exported.path) as file:
        write_jsonl(_answers(exported.notes), file)


def _csv(exported: ExportRequest) -> None:
    from exports.result_files import write_csv

    with whole_file(exported.path) as file:
        write_csv(_answers(exported.notes), file)


def _brat(exported: ExportRequest) -> None:
    from exports.brat_standoff import write_brat

    with _folder(exported, "brat") as folder:
        write_brat(exported.notes, folder)


def _labelstudio(exported: ExportRequest) -> None:
    from exports.label_studio import configuration, write_tasks

    labels: dict[str, None] = {}
    with whole_file(exported.path.with_suffix(".xml")) as interface, whole_file(exported.path) as file:
        write_tasks(exported.notes, file, labels)
        interface.write(configuration(labels).encode("utf-8"))


def _spacy(exported: ExportRequest) -> None:
    from exports.spacy_docs import write_spacy

    with _folder(exported, "spacy") as folder:
        write_spacy(exported.notes, folder)


_WRITERS: dict[str, Callable[[ExportRequest], None]] = {
    "omop": _omop,
    "fhir": _fhir,
    "parquet": _parquet,
    "jsonl": _jsonl,
    "csv": _csv,
    "brat": _brat,
    "labelstudio": _labelstudio,
    "spacy": _spacy,
}
FORMS = tuple(_WRITERS)
_LIBRARIES = {"fhir": ("fhir.resources", "fhir"), "spacy": ("spacy", "spacy")}
"""By format the package to install and the module to look for."""


@contextmanager
def _folder(exported: ExportRequest, form: str) -> Iterator[Path]:
    with whole_folder(exported.path) as folder:
        (folder / MARK).write_text(json.dumps({"form": form}) + "\n", "utf-8")
        yield folder


def _answers(notes: Notes) -> Iterator[dict[str, object]]:
    return (answer for note in notes for answer in note.answers)


def _require_library(form: str) -> None:
    package, module = _LIBRARIES.get(form, ("", ""))
    if module and find_spec(module) is None:
        raise UsageError(f"--to {form} needs {package}: `pip install 'notemill[formats]'`.")
