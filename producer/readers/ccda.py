"""Reader for C-CDA documents: one document a file, with its narrative text and the metadata of its header.

The narrative is what a person was shown when signing the document; coded entries are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.documents import Document, Refused
from producer.extract.attachments import render
from producer.extract.cda_narrative import V3, cda_body, cda_root, line_text
from producer.readers.hl7_time import iso_time, sortable
from producer.readers.note_metadata import Clinical, clinical_document
from producer.records.byte_streams import UnreadableError, open_bytes, read_whole
from producer.records.columns import ColumnChoice
from producer.records.records import Origin

_SDTC_STATUS = "{urn:hl7-org:sdtc}statusCode"
_LOINC_OID = "2.16.840.1.113883.6.1"
_LEFT_OUT = {"nullified": "entered in error", "aborted": "cancelled", "obsolete": "superseded"}


def read_cda_file(path: Path, origin: Origin, choice: ColumnChoice) -> Iterator[Document | Refused]:  # noqa: ARG001
    """The one document of the file. Raises SourceError where the library is missing."""
    try:
        with open_bytes(path) as stream:
            root = cda_root(read_whole(stream))
        yield _document(root, origin)
    except UnreadableError as refusal:
        yield origin.refused(refusal.reason)


def _document(root: Any, origin: Origin) -> Document | Refused:
    external_id, version = _identity(root)
    status = _attribute(root, _SDTC_STATUS, "code")
    if status in _LEFT_OUT:
        refused = origin.refused(_LEFT_OUT[status], None, external_id or None)
        return refused.model_copy(update={"withdraws": True})
    body = cda_body(root, render)
    code = root.find(f"{V3}code")
    system = "" if code is None else code.get("codeSystem") or ""
    clinical = Clinical(
        format="c-cda",
        patient=_identifier(root.find(f"{V3}recordTarget/{V3}patientRole/{V3}id")),
        encounter=_identifier(root.find(f"{V3}componentOf/{V3}encompassingEncounter/{V3}id")),
        type="" if code is None else code.get("code") or "",
        type_system="http://loinc.org" if system == _LOINC_OID else system and f"urn:oid:{system}",
        type_name="" if code is None else code.get("displayName") or "",
        title=line_text(root.find(f"{V3}title")),
        date=iso_time(_attribute(root, f"{V3}effectiveTime", "value")),
        status=status,
        version=version,
        media_type=body.media_type,
    )
    return clinical_document(origin, None, external_id, body.text, clinical, _replaced(root, external_id))


def _identity(root: Any) -> tuple[str, str]:
    """The id that all versions share, if there is one, and the version of this document."""
    number = _attribute(root, f"{V3}versionNumber", "value")
    stamp = sortable(_attribute(root, f"{V3}effectiveTime", "value"))
    of_set = _whole_identifier(root.find(f"{V3}setId"))
    return of_set or _whole_identifier(root.find(f"{V3}id")), f"{number.zfill(6)} {stamp}".strip()


def _replaced(root: Any, external_id: str) -> tuple[str, ...]:
    parents = root.iterfind(f"{V3}relatedDocument[@typeCode='RPLC']/{V3}parentDocument")
    ids = (_whole_identifier(parent.find(f"{V3}{name}")) for parent in parents for name in ("id", "setId"))
    return tuple(id_ for id_ in ids if id_ and id_ != external_id)


def _attribute(root: Any, path: str, name: str) -> str:
    element = root.find(path)
    return "" if element is None else element.get(name) or ""


def _identifier(element: Any) -> str:
    return "" if element is None else element.get("extension") or element.get("root") or ""


def _whole_identifier(element: Any) -> str:
    if element is None:
        return ""
    return "^".join(part for part in (element.get("root"), element.get("extension")) if part)
