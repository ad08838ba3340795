"""This machine and this process: loopback addresses and core dumps."""

from __future__ import annotations

import ipaddress
import resource


def disable_core_dumps() -> None:
    """Disables core dumps of this process and its children: a dump would hold the text of notes.

    Only a privileged process could allow them again. A kernel that pipes dumps to a program
    (`kernel.core_pattern`) leaves the decision to that program: those of systemd, Ubuntu and Fedora keep
    nothing where the limit is 0.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def is_loopback(host: str) -> bool:
    """True if the name or address is this machine's loopback, so that traffic to it crosses no network.

    Other names are not resolved: a name server's answer may change.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
