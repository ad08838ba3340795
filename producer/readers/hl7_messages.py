"""HL7 v2 messages of a file or a stream, their fields, and text with its escapes resolved.

The hl7 library splits segments and fields. Escapes are resolved here: the library logs the field, which is
patient text, and drops unknown escapes.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from models.documents import Refused
from producer.extract.charset import decoded
from producer.records.byte_streams import MAX_RECORD_BYTES, UnreadableError, unreadable
from producer.records.optional_dependencies import needed
from producer.records.records import Origin

_WRAPPING = ("FHS", "BHS", "BTS", "FTS")
_SEGMENTS = re.compile(
    "(MSH|SFT|UAC|EVN|PID|PD1|NK1|PV1|PV2|ORC|OBR|TQ1|TQ2|NTE|CON|TXA|OBX|PRT|CTD|FT1|CTI|SPM|AL1|DG1|PR1"
    "|GT1|IN1|IN2|IN3|ROL|ACC|UB1|UB2|PDA|ARV|ERR|MSA|DSC|Z[A-Z0-9]{2})"
)
"""Segment names; another line continues the text before it, since senders forget to escape line ends."""
_FRAME = "\x0b\x1c"
"""Frame characters of MLLP in captured feeds."""
_CHARSETS = {"": None, "ASCII": None, "UNICODE UTF-8": None, "UNICODE": "utf-16-be", "BIG-5": "big5"}
"""HL7 table 0211; ISO 8859 parts are derived from their names."""
_LINE_ENDS = re.compile(r"\.(br|sp|ce)\+?(\d*)$")
_SPACES = re.compile(r"\.(sk)\+?(\d*)$")
_SILENT = re.compile(r"(H|N|\.fi|\.nf|\.(in|ti)[+-]?\d*)$")


@dataclass(frozen=True, slots=True)
class Message:
    """One parsed message."""

    line: int
    """1-based line of its MSH segment."""
    parsed: Any
    charset: str | None

    @property
    def kind(self) -> tuple[str, str]:
        """Message type and trigger event, such as ('MDM', 'T02')."""
        header = self.parsed.segments("MSH")[0]
        code, event = self.part(header, 9), self.part(header, 9, 2)
        return code, event

    def first(self, name: str) -> Any:
        """The first segment of this name; None without one."""
        return next(iter(self.all(name)), None)

    def all(self, *names: str) -> list[Any]:
        """The segments of these names in their order."""
        return [segment for segment in self.parsed if str(segment[0]) in names]

    def raw(self, segment: Any, field: int) -> str:
        """The field as sent; '' without one."""
        return str(segment[field]) if segment is not None and len(segment) > field else ""

    def repetitions(self, segment: Any, field: int) -> list[str]:
        return self.raw(segment, field).split(self.parsed.separators[2])

    def part(self, segment: Any, field: int, component: int = 1) -> str:
        """A component of the field's first repetition, escapes resolved."""
        return self.component(self.repetitions(segment, field)[0], component)

    def component(self, repetition: str, component: int) -> str:
        parts = repetition.split(self.parsed.separators[3])
        return self.unescaped(parts[component - 1]).strip() if len(parts) >= component else ""

    def unescaped(self, text: str) -> str:
        r"""Text with escapes resolved: `\.br\` is a line end, `\T\` an ampersand; unknown sequences stay."""
        escape = str(self.parsed.esc)
        if escape not in text:
            return text
        mark = re.escape(escape)
        return re.sub(f"{mark}([^{mark}\\s]{{1,200}}){mark}", self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        code, separators = match[1], self.parsed.separators
        fixed = dict(zip("FRST", separators[1:5], strict=True)) | {"E": str(self.parsed.esc)}
        if code in fixed:
            return str(fixed[code])
        if lines := _LINE_ENDS.match(code):
            return "\n" * min(int(lines[2] or 1), 100)
        if spaces := _SPACES.match(code):
            return " " * min(int(spaces[2] or 1), 100)
        if _SILENT.match(code):
            return ""
        if re.fullmatch(r"X([0-9A-Fa-f]{2})+", code):
            characters = bytes.fromhex(code[1:]).decode(self.charset or "utf-8", "replace")
            return characters.replace("\r\n", "\n").replace("\r", "\n")
        return match[0]


def read_messages(stream: BinaryIO, origin: Origin) -> Iterator[Message | Refused]:
    """The messages of a stream; segments may end with CR, LF or both. Raises SourceError where the library
    is missing."""
    hl7 = needed("hl7", "HL7 v2")
    for line, segments in _messages(stream):
        if isinstance(segments, str):
            yield origin.refused(segments, line)
            continue
        try:
            yield _parsed(hl7, line, segments)
        except UnreadableError as refusal:
            yield origin.refused(refusal.reason, line)


def _parsed(hl7: Any, line: int, segments: Sequence[str]) -> Message:
    if not segments[0].startswith("MSH") or len(segments[0]) < len("MSH|^~\\&|"):
        raise UnreadableError("no HL7 v2 message")
    fields = segments[0].split(segments[0][3])
    charset = _charset(fields[17].partition(segments[0][5])[0] if len(fields) > 17 else "")
    text = decoded("\r".join(segments).encode("latin-1"), charset)
    try:
        parsed = hl7.parse(text)
    except Exception:  # noqa: BLE001  ParseException, and IndexError where the separators are cut short
        raise UnreadableError("malformed HL7 v2 message") from None
    return Message(line, parsed, charset)


def _charset(name: str) -> str | None:
    plain = name.strip().upper()
    if plain in _CHARSETS:
        return _CHARSETS[plain]
    part = re.fullmatch(r"8859/(\d{1,2})", plain)
    if part is None:
        raise UnreadableError("unknown charset")
    return f"iso8859-{part[1]}"


def _messages(stream: BinaryIO) -> Iterator[tuple[int, list[str] | str]]:
    """Line number and segments of each message, or the reason why it is unreadable."""
    segments: list[str] = []
    began, length, blank = 1, 0, 0
    for number, line in _lines(stream):
        if isinstance(line, UnreadableError):
            if segments:
                yield began, line.reason
            else:
                yield number, line.reason
            return
        name = line[:3]
        if not line:
            blank += 1  # of the text, if it goes on after them
            continue
        if name in _WRAPPING:
            continue
        if name == "MSH" or not segments:
            if segments:
                yield began, segments if length <= MAX_RECORD_BYTES else _too_long()
            began, length, segments = number, 0, []
        length += len(line)
        if length > MAX_RECORD_BYTES:
            continue
        if not segments or (_SEGMENTS.match(line) and line[3:4] == segments[0][3:4]):
            segments.append(line)
        else:
            segments[-1] += "\\.br\\" * (1 + blank) + line
        blank = 0
    if segments:
        yield began, segments if length <= MAX_RECORD_BYTES else _too_long()


def _lines(stream: BinaryIO) -> Iterator[tuple[int, str | UnreadableError]]:
    """Numbered lines, with any line end, one character a byte."""
    text = io.TextIOWrapper(cast(Any, stream), encoding="latin-1", newline=None)
    number = 0
    try:
        while line := text.readline(MAX_RECORD_BYTES + 1):
            number += 1
            yield number, line.rstrip("\n").strip(_FRAME)
    except (EOFError, zlib.error, OSError) as error:
        yield number + 1, unreadable(error)
    finally:
        text.detach()


def _too_long() -> str:
    return f"longer than {MAX_RECORD_BYTES // 2**20} MiB"
