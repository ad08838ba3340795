"""Reader for files with one note in HTML, RTF, PDF or DOCX."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from models.documents import Document, Refused
from producer.extract.attachments import DOCX, render
from producer.readers.note_metadata import Clinical, clinical_document
from producer.records.byte_streams import UnreadableError, open_bytes, read_whole
from producer.records.columns import ColumnChoice
from producer.records.records import Origin

MEDIA_TYPES = {
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "application/xhtml+xml",
    ".rtf": "application/rtf",
    ".docx": DOCX,
    ".pdf": "application/pdf",
}
"""Media types by file ending."""
_FORMATS = {media_type: ending.removeprefix(".") for ending, media_type in MEDIA_TYPES.items()} | {
    "text/html": "html"
}


def read_rendered_file(
    path: Path,
    origin: Origin,
    choice: ColumnChoice,  # noqa: ARG001
    *,
    media_type: str,
) -> Iterator[Document | Refused]:
    """The one note of the file, named by the file. Raises SourceError where a library is missing."""
    try:
        with open_bytes(path) as stream:
            rendered = render(read_whole(stream), media_type)
    except UnreadableError as refusal:
        yield origin.refused(refusal.reason)
        return
    clinical = Clinical(
        format=_FORMATS[media_type],
        pages=rendered.pages,
        pages_without_text=rendered.pages_without_text,
    )
    yield clinical_document(origin, None, "", rendered.text, clinical)
