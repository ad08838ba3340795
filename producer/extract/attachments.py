"""Text of an attachment, from its bytes and media type. Does not import readers or records of notes.

The text is stored as it is returned, because offsets refer to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message

from producer.extract.charset import decoded
from producer.records.byte_streams import UnreadableError


@dataclass(frozen=True, slots=True)
class RenderedText:
    """The text of an attachment."""

    text: str
    media_type: str
    pages: int = 0
    pages_without_text: int = 0


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type from a header."""

    name: str
    """The name in lower case, such as `text/plain`."""
    charset: str | None

    @classmethod
    def of(cls, header: str) -> MediaType:
        message = Message()
        message["Content-Type"] = header.replace("\r", " ").replace("\n", " ")
        return cls(message.get_content_type(), message.get_content_charset())


def render(content: bytes, header: str) -> RenderedText:
    """The text of the bytes. Raises UnreadableError; SourceError where a library is missing."""
    media = MediaType.of(header)
    renderer = _RENDERERS.get(media.name)
    if renderer is None:
        raise UnreadableError("a kind of attachment that is not read")
    return renderer(content, media)


def rank(header: str) -> int | None:
    """Preference among several forms of one note, lowest first; None for an unsupported form."""
    name = MediaType.of(header).name
    return _RANKS.get(name)


def _plain(content: bytes, media: MediaType) -> RenderedText:
    return RenderedText(decoded(content, media.charset), media.name)


def _html(content: bytes, media: MediaType) -> RenderedText:
    from producer.extract.html_text import html_text

    return RenderedText(html_text(content, media.charset), media.name)


def _xml(content: bytes, media: MediaType) -> RenderedText:
    from producer.extract.cda_narrative import narrative_text

    return RenderedText(narrative_text(content, render), media.name)


def _rtf(content: bytes, media: MediaType) -> RenderedText:
    from producer.extract.rtf_text import rtf_text

    return RenderedText(rtf_text(content), media.name)


def _docx(content: bytes, media: MediaType) -> RenderedText:
    from producer.extract.docx_text import docx_text

    return RenderedText(docx_text(content), media.name)


def _pdf(content: bytes, media: MediaType) -> RenderedText:
    from producer.extract.pdf_text import pdf_pages

    pages = pdf_pages(content)
    text = "\n\n".join(page.strip("\n") for page in pages if page.strip())
    return RenderedText(text, media.name, len(pages), sum(not page.strip() for page in pages))


DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_FORMS: tuple[tuple[tuple[str, ...], Callable[[bytes, MediaType], RenderedText]], ...] = (
    (("text/plain",), _plain),
    (("text/html",), _html),
    (("application/xhtml+xml",), _html),
    (("application/rtf", "text/rtf", "text/richtext"), _rtf),
    (("application/hl7-cda+xml", "text/xml", "application/xml"), _xml),
    ((DOCX,), _docx),
    (("application/pdf",), _pdf),
)
"""Forms by reliability of their text: the first that a note has is used."""
_RENDERERS = {name: renderer for names, renderer in _FORMS for name in names}
_RANKS = {name: rank for rank, (names, _) in enumerate(_FORMS) for name in names}
