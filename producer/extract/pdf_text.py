"""The text layer of PDF files, page by page, by pypdf. Pictures are not read: there is no OCR here."""

from __future__ import annotations

import io
import logging

from producer.records.byte_streams import UnreadableError
from producer.records.optional_dependencies import needed

SCANNED = "scanned PDF: it has pictures of pages and no text"


def pdf_pages(content: bytes) -> list[str]:
    """The text of each page, '' where it has none. Raises UnreadableError, also where no page has any;
    SourceError where the library is missing."""
    pypdf = needed("pypdf", "PDF")
    # It warns of what is odd in a file, and quotes it.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableError("encrypted PDF")
        pages = [page.extract_text() for page in reader.pages]
    except UnreadableError:
        raise
    except Exception:  # noqa: BLE001  damage shows as any error, RecursionError and KeyError among them
        raise UnreadableError("damaged PDF") from None
    if not any(page.strip() for page in pages):
        raise UnreadableError(SCANNED if pages else "damaged PDF")
    return pages
