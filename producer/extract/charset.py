"""Decoding of bytes by a declared charset."""

from __future__ import annotations

from producer.records.byte_streams import UnreadableError


def decoded(content: bytes, charset: str | None) -> str:
    """Decodes bytes in their charset, default UTF-8, without a byte order mark. Raises UnreadableError."""
    name = "utf-8" if charset is None or charset in ("utf8", "us-ascii", "ascii") else charset
    try:
        return content.decode("utf-8-sig" if name == "utf-8" else name)
    except UnicodeDecodeError:
        raise UnreadableError("invalid UTF-8" if name == "utf-8" else "not in its charset") from None
    except (LookupError, ValueError):
        raise UnreadableError("unknown charset") from None
