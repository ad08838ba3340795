"""Text of DOCX files, by python-docx: paragraphs and table rows as lines, in their order.

Headers and footers, which repeat the letterhead on every page, are left out. Tracked insertions count,
tracked deletions do not.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

from producer.records.byte_streams import MAX_RECORD_BYTES, UnreadableError
from producer.records.optional_dependencies import needed

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_ENDS = {f"{_WORD}tab": "\t", f"{_WORD}br": "\n", f"{_WORD}cr": "\n", f"{_WORD}noBreakHyphen": "-"}


def docx_text(content: bytes) -> str:
    """The text of the body. Raises UnreadableError, SourceError where the library is missing."""
    docx = needed("docx", "DOCX")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_RECORD_BYTES:
                raise UnreadableError(f"longer than {MAX_RECORD_BYTES // 2**20} MiB")
        body = docx.Document(io.BytesIO(content)).element.body
    except UnreadableError:
        raise
    except Exception:  # noqa: BLE001  damage shows as BadZipFile, KeyError, XML errors and others
        raise UnreadableError("damaged DOCX") from None
    return "\n".join(_lines(body)).strip("\n")


def _lines(parent: Any) -> list[str]:
    """Lines of the blocks in a body, a cell or a content control."""
    lines: list[str] = []
    for block in parent:
        if block.tag == f"{_WORD}p":
            lines.append(_text(block))
        elif block.tag == f"{_WORD}tbl":
            for row in block.iter(f"{_WORD}tr"):
                cells = (" ".join(_lines(cell)) for cell in row.iterfind(f"{_WORD}tc"))
                lines.append("\t".join(cells))
        elif block.tag in (f"{_WORD}sdt", f"{_WORD}sdtContent", f"{_WORD}ins", f"{_WORD}customXml"):
            lines.extend(_lines(block))
    return lines


def _text(paragraph: Any) -> str:
    """Text of every run, also in tracked insertions, links and text boxes, which `Paragraph.text` lacks."""
    texts: list[str] = []
    unread = list(reversed(paragraph))
    while unread:
        element = unread.pop()
        if element.tag == f"{_WORD}t":
            texts.append(element.text or "")
        elif element.tag in _ENDS:
            texts.append(_ENDS[element.tag])
        elif element.tag not in (f"{_WORD}del", f"{_WORD}moveFrom", f"{_WORD}pPr", f"{_WORD}rPr", _FALLBACK):
            unread.extend(reversed(element))
    return "".join(texts)
