"""RTF as text, by striprtf."""

from __future__ import annotations

from producer.records.byte_streams import UnreadableError
from producer.records.optional_dependencies import needed

RTF_MAGIC = b"{\\rtf"


def rtf_text(content: bytes) -> str:
    r"""The text; characters are those of the code page that the file names. Raises UnreadableError,
    SourceError where the library is missing."""
    striprtf = needed("striprtf.striprtf", "RTF")
    if not content.lstrip().startswith(RTF_MAGIC):
        raise UnreadableError("no RTF")
    try:
        # Its bytes are ASCII by the specification; what is not is a character of its code page.
        text: str = striprtf.rtf_to_text(content.decode("cp1252", "replace"), errors="strict")
    except UnicodeDecodeError:
        raise UnreadableError("not in its charset") from None
    except Exception:  # noqa: BLE001  on damaged files it raises whatever its parser stumbles on
        raise UnreadableError("malformed RTF") from None
    return text
