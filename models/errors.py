"""Base classes of the application's errors. A message is for the operator and says what to type."""

from __future__ import annotations


class NotemillError(Exception):
    """An error that an operator can fix. Its message holds no patient text."""


class UsageError(NotemillError):
    """The command or the call is wrong; exit code 2."""
