"""Reader for FHIR R4: notes in DocumentReference and DiagnosticReport resources, from any stream of
resources.

Reads the elements it needs and ignores all others, so that a resource with a flaw elsewhere is still a note.
The fixtures of its tests are validated by fhir.resources.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from models.documents import Document, Refused
from producer.extract.attachments import RenderedText, rank, render
from producer.readers.fhir_elements import Attachment, DiagnosticReport, DocumentReference, Note, id_of
from producer.readers.note_metadata import Clinical, clinical_document
from producer.records.byte_streams import UnreadableError
from producer.records.records import Origin

Resource = tuple[int | None, dict[str, Any]]
"""The 1-based line of a resource, None in a Bundle; and its JSON."""
KINDS: dict[str, type[DocumentReference | DiagnosticReport]] = {
    "DocumentReference": DocumentReference,
    "DiagnosticReport": DiagnosticReport,
}
_LEFT_OUT = {
    "superseded": "superseded",
    "entered-in-error": "entered in error",
    "cancelled": "cancelled",
    "registered": "not written yet",
}
"""By status the reason why a note is not taken."""
_MAX_NESTING = 5
"""Deepest nesting of Bundles; a searchset of documents has two levels."""


def read_resources(records: Iterable[Resource | Refused], origin: Origin) -> Iterator[Document | Refused]:
    """The notes of a stream of resources and Bundles. Other resource types are reported once, at the end."""
    others: Counter[str] = Counter()
    replaced: set[str] = set()
    for record in records:
        if isinstance(record, Refused):
            yield record
            continue
        for line, resource, binaries in _unbundled(record):
            kind = str(resource.get("resourceType"))[:64]
            if kind in KINDS:
                note = _note(kind, resource, binaries, origin, line, replaced)
                replaced.update(note.replaces if isinstance(note, Document) else ())
                yield note
            elif kind != "Binary" or not binaries:
                others[kind] += 1
    for kind in sorted(others):
        yield origin.refused(f"no note: {kind if kind.isalpha() and kind != 'None' else 'unknown'} resource")


def is_fhir(record: Mapping[str, Any]) -> bool:
    return isinstance(record.get("resourceType"), str)


def _unbundled(
    record: Resource, depth: int = 0
) -> Iterator[tuple[int | None, dict[str, Any], Mapping[str, Any]]]:
    """The resource, or those in the Bundle, each with the Binary resources beside it by their references."""
    line, resource = record
    if resource.get("resourceType") != "Bundle":
        yield line, resource, {}
        return
    entries = resource.get("entry")
    objects = [entry for entry in entries if _is_object(entry)] if isinstance(entries, list) else []
    inside = [
        (entry.get("fullUrl"), entry["resource"]) for entry in objects if _is_object(entry.get("resource"))
    ]
    binaries: dict[str, Any] = {}
    for full_url, inner in inside:
        if inner.get("resourceType") == "Binary":
            references = (full_url, f"Binary/{inner.get('id')}")
            binaries |= {reference: inner for reference in references if isinstance(reference, str)}
    for _, inner in inside:
        if inner.get("resourceType") == "Bundle" and depth < _MAX_NESTING:
            yield from _unbundled((line, inner), depth + 1)
        else:
            yield line, inner, binaries


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _note(
    kind: str,
    resource: dict[str, Any],
    binaries: Mapping[str, Any],
    origin: Origin,
    line: int | None,
    replaced: set[str],
) -> Document | Refused:
    try:
        note = KINDS[kind].model_validate(resource)
    except (ValidationError, RecursionError) as error:
        return origin.refused(f"malformed {kind}{_error_location(error)}", line)
    external_id = f"{kind}/{note.id}" if note.id else ""
    name = external_id if len(external_id) <= 500 else None
    reason = _reason_to_skip(note)
    if reason is None and external_id in replaced:
        reason = "superseded"
    if reason is not None:
        refused = origin.refused(reason, line, name or None)
        return refused.model_copy(update={"withdraws": True})
    try:
        rendered = _rendered(note.attachments, binaries)
    except UnreadableError as refusal:
        return origin.refused(refusal.reason, line, name or None)
    return clinical_document(
        origin, line, external_id, rendered.text, _clinical(note, rendered), note.replaced_references
    )


def _reason_to_skip(note: Note) -> str | None:
    reasons = (_LEFT_OUT.get(status) for status in (note.status, note.docStatus or ""))
    return next((reason for reason in reasons if reason), None)


def _rendered(attachments: Iterable[Attachment], binaries: Mapping[str, Any]) -> RenderedText:
    """The text of the note's best readable form. Raises UnreadableError."""
    attached = [_with_binary(attachment, binaries) for attachment in attachments]
    readable = [
        attachment
        for attachment in attached
        if attachment.data is not None and rank(attachment.contentType or "") is not None
    ]
    first_reason: UnreadableError | None = None
    for attachment in sorted(readable, key=lambda attachment: rank(attachment.contentType or "") or 0):
        try:
            return render(_bytes(attachment.data or ""), attachment.contentType or "text/plain")
        except UnreadableError as refusal:
            first_reason = first_reason or refusal
    if first_reason is not None:
        raise first_reason
    if any(attachment.data is not None for attachment in attached):
        raise UnreadableError("a kind of attachment that is not read")
    if any(attachment.url for attachment in attached):
        raise UnreadableError("the attachment is elsewhere (url)")
    raise UnreadableError("no attachment")


def _with_binary(attachment: Attachment, binaries: Mapping[str, Any]) -> Attachment:
    """The attachment with the data of the Binary in the same Bundle that its url names."""
    binary = binaries.get(attachment.url or "") if attachment.data is None else None
    if not isinstance(binary, dict) or not isinstance(binary.get("data"), str):
        return attachment
    content_type = binary.get("contentType")
    media_type = attachment.contentType or (content_type if isinstance(content_type, str) else None)
    return attachment.model_copy(update={"data": binary["data"], "contentType": media_type})


def _bytes(data: str) -> bytes:
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableError("malformed base64") from None


def _clinical(note: Note, rendered: RenderedText) -> Clinical:
    coding = note.coding
    return Clinical(
        format="fhir",
        patient=id_of(note.subject),
        encounter=id_of(note.encounter_reference),
        type=coding.code or "",
        type_system=coding.system or "",
        type_name=coding.display or "",
        title=note.title,
        date=note.when,
        status=note.docStatus or note.status,
        version=note.meta.version,
        media_type=rendered.media_type,
        pages=rendered.pages,
        pages_without_text=rendered.pages_without_text,
    )


def _error_location(error: Exception) -> str:
    """The element's place in the resource, never its content."""
    if not isinstance(error, ValidationError):
        return ""
    steps = error.errors(include_input=False, include_url=False)[0]["loc"]
    return f" ({'.'.join(map(str, steps[:4]))})"
