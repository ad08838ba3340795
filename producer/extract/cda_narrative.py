"""Narrative text of a CDA document: each section behind its title, or the unstructured body.

Parses with lxml, without entities, network or document type definitions.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from producer.records.byte_streams import UnreadableError
from producer.records.optional_dependencies import needed

V3 = "{urn:hl7-org:v3}"


class RenderedAttachment(Protocol):
    """Text of an unstructured body."""

    @property
    def text(self) -> str: ...

    @property
    def media_type(self) -> str: ...


Render = Callable[[bytes, str], RenderedAttachment]
"""Renders bytes by their media type; `attachments.render`, handed in because that module imports this one."""


@dataclass(frozen=True, slots=True)
class CdaBody:
    """Text of a document and the media type that it came as."""

    text: str
    media_type: str = "application/hl7-cda+xml"


def narrative_text(content: bytes, render: Render) -> str:
    """The text of a CDA document that is an attachment. Raises UnreadableError."""
    return cda_body(cda_root(content), render).text


def cda_root(content: bytes) -> Any:
    """The root element of a ClinicalDocument. Raises UnreadableError; SourceError without lxml."""
    etree = needed("lxml.etree", "C-CDA")
    # No entities, network or document type: an XML file may refer to other files.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise UnreadableError("malformed XML") from None
    if root.tag != f"{V3}ClinicalDocument":
        raise UnreadableError("XML that is no ClinicalDocument")
    return root


def cda_body(root: Any, render: Render) -> CdaBody:
    """Structured or unstructured body. Raises UnreadableError where there is no text."""
    unstructured = root.find(f"{V3}component/{V3}nonXMLBody/{V3}text")
    if unstructured is not None:
        return _unstructured(unstructured, render)
    sections = root.iterfind(f"{V3}component/{V3}structuredBody/{V3}component/{V3}section")
    text = "\n\n".join(part for section in sections for part in _sections(section))
    if not text:
        raise UnreadableError("no narrative in any section")
    return CdaBody(text)


def _sections(section: Any) -> Iterator[str]:
    """Text of a section and of its subsections, each title on a line of its own."""
    from producer.extract.markup import tree_text

    title, narrative = line_text(section.find(f"{V3}title")), section.find(f"{V3}text")
    text = "" if narrative is None else tree_text(narrative)
    if title or text:
        yield "\n".join(part for part in (title, text) if part)
    for inner in section.iterfind(f"{V3}component/{V3}section"):
        yield from _sections(inner)


def _unstructured(element: Any, render: Render) -> CdaBody:
    if element.find(f"{V3}reference") is not None:
        raise UnreadableError("the attachment is elsewhere (reference)")
    content = "".join(element.itertext())
    if element.get("representation") == "B64":
        try:
            data = base64.b64decode("".join(content.split()), validate=True)
        except (binascii.Error, ValueError):
            raise UnreadableError("malformed base64") from None
        header = element.get("mediaType") or "text/plain"
        if header in ("text/xml", "application/xml"):  # documents nested without end
            raise UnreadableError("a kind of attachment that is not read")
        rendered = render(data, header)
        return CdaBody(rendered.text, rendered.media_type)
    return CdaBody(content, "text/plain")


def line_text(element: Any) -> str:
    """Text of an element on one line, white space folded; '' without an element."""
    return "" if element is None else " ".join("".join(element.itertext()).split())
