"""Reader for HL7 v2: notes in MDM messages (one document each) and ORU messages (one for each order)."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from models.documents import Document, Refused
from producer.extract.attachments import render
from producer.extract.format_sniffing import media_type_of
from producer.readers.hl7_messages import Message, read_messages
from producer.readers.hl7_time import iso_time, sortable
from producer.readers.note_metadata import Clinical, clinical_document
from producer.records.byte_streams import UnreadableError, open_bytes
from producer.records.columns import ColumnChoice
from producer.records.records import Origin

_WITH_TEXT = {"T02", "T04", "T06", "T08", "T10"}
_REPLACEMENTS = {"T09", "T10"}
_CANCELLATION = "T11"
_COMPLETION = {
    "DI": "dictated",
    "DO": "documented",
    "IN": "incomplete",
    "IP": "in progress",
    "LA": "legally authenticated",
    "AU": "authenticated",
    "PA": "pre-authenticated",
}
"""Document completion status, HL7 table 0271, TXA-17."""
_NOT_COMPLETE = {"DI", "IN", "IP"}
_GONE = {"OB": "superseded", "CA": "cancelled"}
"""Availability status of obsolete or cancelled documents, table 0273, TXA-19."""
_RESULT = {
    "F": "final",
    "C": "corrected",
    "P": "preliminary",
    "A": "partial",
    "R": "not verified",
    "M": "corrected",
}
"""Result status with a report, table 0123, OBR-25; other orders have no report yet, or never will."""
_NO_RESULT = {"O", "I", "S", "N", "Y", "Z"}
_TEXT_TYPES = {"TX", "FT", "ST"}
_TAKEN_BACK = {"D", "W", "X"}
"""Observation status deleted, wrong or unavailable, table 0085, OBX-11."""


def read_hl7_file(path: Path, origin: Origin, choice: ColumnChoice) -> Iterator[Document | Refused]:  # noqa: ARG001
    """The notes of a file of messages, in batches or not."""
    try:
        with open_bytes(path) as stream:
            yield from read_hl7(stream, origin)
    except UnreadableError as refusal:
        yield origin.refused(refusal.reason)


def read_hl7(stream: BinaryIO, origin: Origin) -> Iterator[Document | Refused]:
    """The notes of a stream of messages. Messages of other types are reported once each, at the end."""
    others: Counter[str] = Counter()
    for message in read_messages(stream, origin):
        if isinstance(message, Refused):
            yield message
            continue
        code, event = message.kind
        if code == "MDM":
            yield _document(message, event, origin)
        elif code == "ORU":
            yield from _reports(message, origin)
        else:
            others[code if code.isalpha() and len(code) == 3 else "unknown"] += 1
    for code in sorted(others):
        yield origin.refused(f"no note: {code} message")


def _document(message: Message, event: str, origin: Origin) -> Document | Refused:
    header = message.first("TXA")
    external_id = message.part(header, 12) or message.part(message.first("MSH"), 10)
    completion, availability = message.part(header, 17), message.part(header, 19)
    if event == _CANCELLATION or availability in _GONE:
        refused = origin.refused(_GONE.get(availability, "cancelled"), message.line, external_id or None)
        return refused.model_copy(update={"withdraws": True})
    if event not in _WITH_TEXT:
        return origin.refused("a notification without the document", message.line, external_id or None)
    if completion in _NOT_COMPLETE:
        return origin.refused("not completed", message.line, external_id or None)
    observations = message.all("OBX")
    first = observations[0] if observations else None
    is_loinc = first is not None and message.part(first, 3, 3) == "LN"
    kind, field = (first, 3) if is_loinc else (header, 2)
    clinical = _clinical(
        message,
        _coded_field(message, kind, field),
        [message.part(header, number) for number in (4, 6, 7)],
        _COMPLETION.get(completion, completion),
        title=message.part(header, 25),
    )
    parent = message.part(header, 13)
    replaces = (parent,) if event in _REPLACEMENTS and parent not in ("", external_id) else ()
    return _with_text(message, observations, external_id, clinical, origin, replaces)


def _reports(message: Message, origin: Origin) -> Iterator[Document | Refused]:
    """One report for each OBR with its OBX segments."""
    orders: list[tuple[Any, list[Any]]] = []
    for segment in message.all("OBR", "OBX"):
        if str(segment[0]) == "OBR":
            orders.append((segment, []))
        elif orders:
            orders[-1][1].append(segment)
    names: set[str] = set()
    for number, (order, observations) in enumerate(orders, start=1):
        external_id = _free_name(_order_id(message, order, number), names)
        result = message.part(order, 25)
        if result in _NO_RESULT or result == "X":
            reason = "cancelled" if result == "X" else "not written yet"
            refused = origin.refused(reason, message.line, external_id)
            yield refused.model_copy(update={"withdraws": result == "X"})
        elif not any(message.part(observation, 2) in ("TX", "FT", "ED") for observation in observations):
            yield origin.refused("no text among the results", message.line, external_id)
        else:
            dates = [message.part(order, 7), message.part(order, 22)]
            coded, status = _coded_field(message, order, 4), _RESULT.get(result, result)
            clinical = _clinical(message, coded, dates, status)
            yield _with_text(message, observations, external_id, clinical, origin)


def _order_id(message: Message, order: Any, number: int) -> str:
    control = message.part(message.first("MSH"), 10)
    return message.part(order, 3) or message.part(order, 2) or (f"{control}:{number}" if control else "")


def _free_name(name: str, taken: set[str]) -> str:
    """The name, with a number where another order of the message has it."""
    free = next(
        n for n in (name, *(f"{name}:{number}" for number in range(2, 10_000))) if n not in taken or not n
    )
    taken.add(free)
    return free


def _with_text(
    message: Message,
    observations: list[Any],
    external_id: str,
    clinical: Clinical,
    origin: Origin,
    replaces: tuple[str, ...] = (),
) -> Document | Refused:
    try:
        text = _text(message, observations)
    except UnreadableError as refusal:
        return origin.refused(refusal.reason, message.line, external_id or None)
    return clinical_document(origin, message.line, external_id, text, clinical, replaces)


def _text(message: Message, observations: list[Any]) -> str:
    """Text of the segments, one a line, repetitions too. Raises UnreadableError where an attachment is
    unreadable and there is no text beside it."""
    lines: list[str] = []
    first_reason: UnreadableError | None = None
    for observation in observations:
        kind = message.part(observation, 2)
        if message.part(observation, 11) in _TAKEN_BACK:
            continue
        if kind in _TEXT_TYPES:
            lines.extend(map(message.unescaped, message.repetitions(observation, 5)))
        elif kind == "ED":
            try:
                lines.extend(
                    _encapsulated(message, repetition) for repetition in message.repetitions(observation, 5)
                )
            except UnreadableError as refusal:
                first_reason = first_reason or refusal
    text = "\n".join(lines)
    if first_reason is not None and not text.strip():
        raise first_reason
    return text


def _encapsulated(message: Message, repetition: str) -> str:
    """Parts of OBX-5 as ED: source, type, subtype, encoding, data."""
    subtype, encoding, data = (message.component(repetition, number) for number in (3, 4, 5))
    if encoding.lower() != "base64":
        return data
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableError("malformed base64") from None
    return render(content, media_type_of(content, subtype)).text


def _coded_field(message: Message, segment: Any, field: int) -> tuple[str, str, str]:
    """Code, name and system of a coded field."""
    code, name, system = (message.part(segment, field, number) for number in (1, 2, 3))
    code = code.partition(message.parsed.separators[4])[0]  # `24627-2&IMP`: the impression of that report
    return code, name, "http://loinc.org" if system == "LN" else system


def _clinical(
    message: Message, coded: tuple[str, str, str], dates: list[str], status: str, title: str = ""
) -> Clinical:
    person, visit = message.first("PID"), message.first("PV1")
    numbers = message.repetitions(person, 3)
    medical = next((number for number in numbers if message.component(number, 5) == "MR"), numbers[0])
    return Clinical(
        format="hl7v2",
        patient=message.component(medical, 1),
        encounter=message.part(visit, 19) or message.part(person, 18),
        type=coded[0],
        type_name=coded[1],
        type_system=coded[2],
        title=title,
        date=next(filter(None, map(iso_time, dates)), ""),
        status=status,
        version=sortable(message.part(message.first("MSH"), 7)),
    )
