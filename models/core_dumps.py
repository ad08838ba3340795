"""No core dumps: the memory of a process that crashed would be a file full of notes."""

from __future__ import annotations

import resource


def disable_core_dumps() -> None:
    """For this process and all that it starts; only a privileged one could allow them again.

    A kernel that hands dumps to a program (`kernel.core_pattern` with a pipe) asks that program: those of
    systemd, Ubuntu and Fedora keep nothing where the limit is 0.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
