"""`notemill export`: notes with their answers in the formats of other tools."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from console.terminal.opened_database import Database, database
from console.terminal.progress_bar import ProgressOutput, progress_output
from console.terminal.terminal import count_of, human_duration, stderr
from exports.export_formats import FORMS, ExportRequest, write
from exports.source.vocabulary import read_vocabulary
from models.errors import UsageError
from models.queries.note_export import ExportedNote
from models.security.audit_trail import Action
from models.settings import load_settings

_NOTES_BETWEEN_WORDS = 100


def export(*, form: str, output: str, run: int | None, vocabulary: Path | None, is_quiet: bool) -> int:
    """Writes the export. Raises UsageError where the options contradict each other."""
    if form not in FORMS:
        raise UsageError(f"there is no form {form!r}. Forms: {', '.join(FORMS)}.")
    if vocabulary is not None and form not in ("omop", "fhir"):
        raise UsageError(f"--vocabulary is for omop and fhir; {form} has no place for concepts.")
    began, reporter, concepts = (
        time.monotonic(),
        progress_output(is_quiet=is_quiet),
        read_vocabulary(vocabulary),
    )
    with database(load_settings()) as opened:
        notes = _NotesWithProgress(opened, run, reporter)
        ids = opened.queries.exported_ids(run)
        try:
            write(form, ExportRequest(notes=notes, external_ids=ids, output=output, vocabulary=concepts))
        finally:
            reporter.close()
        opened.store.note(Action.EXPORT, form=form, run=run, documents=notes.done)
    if not is_quiet:
        took = human_duration(time.monotonic() - began)
        where = "the database" if "://" in output else output
        stderr().print(f"{count_of(notes.done, 'note')} as {form} in {where} after {took}", soft_wrap=True)
    return 0


class _NotesWithProgress:
    """The notes of an export, with progress output."""

    def __init__(self, opened: Database, run: int | None, reporter: ProgressOutput) -> None:
        self._notes, self._reporter = opened.queries.exported(run), reporter
        self._total = opened.queries.exported_count(run)
        self.done = 0

    def __iter__(self) -> Iterator[ExportedNote]:
        for note in self._notes:
            yield note
            self.done += 1
            if self.done % _NOTES_BETWEEN_WORDS == 0:
                self._reporter.show(self.done, self._total, "notes written")
