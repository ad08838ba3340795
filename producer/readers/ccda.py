"""C-CDA: the narrative of each section behind its title, as lxml reads it.

What a person was shown when the document was signed is the narrative; the coded entries beside it are
not read.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.documents import Document, Refused
from producer.readers.hl7_time import iso_time, sortable
from producer.readers.note_metadata import Clinical, clinical_document
from producer.records.byte_streams import UnreadableError, open_bytes, read_whole
from producer.records.columns import ColumnChoice
from producer.records.optional_dependencies import needed
from producer.records.records import Origin

_V3 = "{urn:hl7-org:v3}"
_SDTC_STATUS = "{urn:hl7-org:sdtc}statusCode"
_LOINC_OID = "2.16.840.1.113883.6.1"
_LEFT_OUT = {"nullified": "entered in error", "aborted": "cancelled", "obsolete": "superseded"}


def read_cda_file(path: Path, origin: Origin, choice: ColumnChoice) -> Iterator[Document | Refused]:  # noqa: ARG001
    """The one document of the file. Raises SourceError where the library is missing."""
    try:
        with open_bytes(path) as stream:
            root = _root(read_whole(stream))
        yield _document(root, origin)
    except UnreadableError as refusal:
        yield origin.refused(refusal.reason)


def narrative_text(content: bytes) -> str:
    """The text of a document that is an attachment elsewhere. Raises UnreadableError."""
    return _body_text(_root(content)).text


@dataclass(frozen=True, slots=True)
class _Body:
    text: str
    media_type: str = "application/hl7-cda+xml"


def _root(content: bytes) -> Any:
    etree = needed("lxml.etree", "C-CDA")
    # No entity, no network, no document type: an XML file may name what it wants read in its place.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise UnreadableError("malformed XML") from None
    if root.tag != f"{_V3}ClinicalDocument":
        raise UnreadableError("XML that is no ClinicalDocument")
    return root


def _document(root: Any, origin: Origin) -> Document | Refused:
    external_id, version = _identity(root)
    status = _attribute(root, _SDTC_STATUS, "code")
    if status in _LEFT_OUT:
        refused = origin.refused(_LEFT_OUT[status], None, external_id or None)
        return refused.model_copy(update={"withdraws": True})
    body = _body_text(root)
    code = root.find(f"{_V3}code")
    system = "" if code is None else code.get("codeSystem") or ""
    clinical = Clinical(
        format="c-cda",
        patient=_identifier(root.find(f"{_V3}recordTarget/{_V3}patientRole/{_V3}id")),
        encounter=_identifier(root.find(f"{_V3}componentOf/{_V3}encompassingEncounter/{_V3}id")),
        type="" if code is None else code.get("code") or "",
        type_system="http://loinc.org" if system == _LOINC_OID else system and f"urn:oid:{system}",
        type_name="" if code is None else code.get("displayName") or "",
        title=_line(root.find(f"{_V3}title")),
        date=iso_time(_attribute(root, f"{_V3}effectiveTime", "value")),
        status=status,
        version=version,
        media_type=body.media_type,
    )
    return clinical_document(origin, None, external_id, body.text, clinical, _replaced(root, external_id))


def _identity(root: Any) -> tuple[str, str]:
    """The id that all versions share, where there is one, and which version this is."""
    number = _attribute(root, f"{_V3}versionNumber", "value")
    stamp = sortable(_attribute(root, f"{_V3}effectiveTime", "value"))
    of_set = _whole_identifier(root.find(f"{_V3}setId"))
    return of_set or _whole_identifier(root.find(f"{_V3}id")), f"{number.zfill(6)} {stamp}".strip()


def _replaced(root: Any, external_id: str) -> tuple[str, ...]:
    parents = root.iterfind(f"{_V3}relatedDocument[@typeCode='RPLC']/{_V3}parentDocument")
    ids = (_whole_identifier(parent.find(f"{_V3}{name}")) for parent in parents for name in ("id", "setId"))
    return tuple(id_ for id_ in ids if id_ and id_ != external_id)


def _body_text(root: Any) -> _Body:
    unstructured = root.find(f"{_V3}component/{_V3}nonXMLBody/{_V3}text")
    if unstructured is not None:
        return _unstructured(unstructured)
    sections = root.iterfind(f"{_V3}component/{_V3}structuredBody/{_V3}component/{_V3}section")
    text = "\n\n".join(piece for section in sections for piece in _sections(section))
    if not text:
        raise UnreadableError("no narrative in any section")
    return _Body(text)


def _sections(section: Any) -> Iterator[str]:
    """The section and those in it, each with its title as a line of its own."""
    from producer.extract.markup import tree_text

    title, narrative = _line(section.find(f"{_V3}title")), section.find(f"{_V3}text")
    text = "" if narrative is None else tree_text(narrative)
    if title or text:
        yield "\n".join(part for part in (title, text) if part)
    for inner in section.iterfind(f"{_V3}component/{_V3}section"):
        yield from _sections(inner)


def _unstructured(element: Any) -> _Body:
    from producer.extract.attachments import render

    if element.find(f"{_V3}reference") is not None:
        raise UnreadableError("the attachment is elsewhere (reference)")
    content = "".join(element.itertext())
    if element.get("representation") == "B64":
        try:
            data = base64.b64decode("".join(content.split()), validate=True)
        except (binascii.Error, ValueError):
            raise UnreadableError("malformed base64") from None
        header = element.get("mediaType") or "text/plain"
        if header in ("text/xml", "application/xml"):  # a document in a document in a document …
            raise UnreadableError("a kind of attachment that is not read")
        rendered = render(data, header)
        return _Body(rendered.text, rendered.media_type)
    return _Body(content, "text/plain")


def _attribute(root: Any, path: str, name: str) -> str:
    found = root.find(path)
    return "" if found is None else found.get(name) or ""


def _identifier(element: Any) -> str:
    return "" if element is None else element.get("extension") or element.get("root") or ""


def _whole_identifier(element: Any) -> str:
    if element is None:
        return ""
    return "^".join(part for part in (element.get("root"), element.get("extension")) if part)


def _line(element: Any) -> str:
    return "" if element is None else " ".join("".join(element.itertext()).split())
