"""The one root of our errors: the message is for the operator and says what to type."""

from __future__ import annotations


class NotemillError(Exception):
    """Something an operator can put right. Its text holds no patient text."""


class UsageError(NotemillError):
    """The command or the call itself is wrong; exit code 2."""
