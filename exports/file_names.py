"""File names from note ids: readable, valid on every file system, and unique."""

from __future__ import annotations

from urllib.parse import quote

_LONGEST = 150
"""Longest name in bytes; file systems allow 255, and an ending and a scratch name are added."""


def file_name(external_id: str, document_id: int) -> str:
    """The id, percent-encoded where necessary; a long one is cut and followed by the document's number."""
    name = quote(external_id, safe=" +,=@()").replace("%20", " ").lstrip(".")
    if name and len(name) <= _LONGEST and name == name.strip():
        return name
    return f"{name[:_LONGEST].strip()}-{document_id}"


def token(label: str) -> str:
    """A label in brat's characters: letters, digits, '-' and '_'."""
    return "".join(
        character if character.isascii() and (character.isalnum() or character in "-_") else "_"
        for character in label
    )
