"""File names from the ids of notes: readable, on every file system, and never two the same."""

from __future__ import annotations

from urllib.parse import quote

_LONGEST = 150
"""Bytes; file systems take 255, and an ending and a scratch name are added."""


def file_name(external_id: str, document_id: int) -> str:
    """The id, percent-encoded where it has to be; a long one is cut, with the document's number behind it."""
    name = quote(external_id, safe=" +,=@()").replace("%20", " ").lstrip(".")
    if name and len(name) <= _LONGEST and name == name.strip():
        return name
    return f"{name[:_LONGEST].strip()}-{document_id}"


def token(label: str) -> str:
    """A label as brat takes it: letters, digits, '-' and '_'."""
    return "".join(one if one.isascii() and (one.isalnum() or one in "-_") else "_" for one in label)
