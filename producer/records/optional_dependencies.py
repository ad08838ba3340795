"""Optional libraries of the extra `formats`; where one is missing, the error says what to type."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from producer.records.columns import SourceError


def needed(module: str, reads: str) -> ModuleType:
    """Imports a module. Raises SourceError where it is missing; `reads` names its purpose, such as 'PDF'."""
    try:
        return import_module(module)
    except ImportError:
        raise SourceError(
            f"reading {reads} needs the extra `formats`. Type: pip install 'notemill[formats]'",
            reason=f"{reads} needs the extra `formats`",
        ) from None
