"""Format sniffing: the file type by the first bytes, where name or header do not say it."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from producer.extract.attachments import DOCX
from producer.records.byte_streams import UTF8_BOM, UnreadableError, open_bytes

HEAD_BYTES = 1024
HL7_HEAD = re.compile(rb"[\x0b\s]*(MSH|FHS|BHS)\|\^~\\&")
_BY_HEAD = (
    (re.compile(rb"%PDF-"), ".pdf"),
    (re.compile(rb"\s*\{\\rtf"), ".rtf"),
    (HL7_HEAD, ".hl7"),
    (re.compile(rb"PK\x03\x04.{0,900}word/|PK\x03\x04.{0,200}\[Content_Types\]\.xml", re.DOTALL), ".docx"),
    (
        re.compile(
            rb"\s*(<\?xml[^>]*>\s*)?(<\?[^>]*>\s*|<!--.*?-->\s*)*<(\w+:)?ClinicalDocument\b", re.DOTALL
        ),
        ".xml",
    ),
    (re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL), ".html"),
)
_MEDIA = {
    ".pdf": "application/pdf",
    ".rtf": "application/rtf",
    ".docx": DOCX,
    ".xml": "application/hl7-cda+xml",
    ".html": "text/html",
}
_MEDIA_BY_SUBTYPE = {"html": "text/html", "rtf": "application/rtf", "pdf": "application/pdf"}


def ending_of_content(head: bytes) -> str | None:
    """The file ending for content that begins so; None for unknown content, such as plain text."""
    plain = head.removeprefix(UTF8_BOM)
    return next((ending for pattern, ending in _BY_HEAD if pattern.match(plain)), None)


def ending_of_file(path: Path) -> str | None:
    """The file ending by a file's content; None where it cannot be read."""
    try:
        with open_bytes(path) as stream:
            return ending_of_content(stream.read(HEAD_BYTES))
    except (UnreadableError, OSError, EOFError, zlib.error):
        return None


def media_type_of(content: bytes, hl7_subtype: str) -> str:
    """The media type of an attachment by its content, otherwise by HL7's subtype, otherwise plain text."""
    ending = ending_of_content(content[:HEAD_BYTES])
    if ending in _MEDIA:
        return _MEDIA[ending]
    return _MEDIA_BY_SUBTYPE.get(hl7_subtype.lower(), "text/plain")
