"""Time stamps of HL7 v2 and CDA as ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_STAMP = re.compile(r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:\.\d+)?([+-]\d{4})?")


def iso_time(stamp: str) -> str:
    """`202601020304+0100` as `2026-01-02T03:04:00+01:00`, in the given precision, at least a day; '' for no
    time."""
    match = _STAMP.fullmatch(stamp.strip())
    if match is None:
        return ""
    year, month, day, hour, *rest, zone = match.groups()
    if hour is None:
        return "-".join(part for part in (year, month, day) if part)
    try:
        moment = datetime.strptime(  # noqa: DTZ007  the source's own clock where it tells no zone
            f"{year}{month}{day}{hour}{rest[0] or '00'}{rest[1] or '00'}", "%Y%m%d%H%M%S"
        )
        return moment.isoformat() + (f"{zone[:3]}:{zone[3:]}" if zone else "")
    except ValueError:
        return ""


def sortable(stamp: str) -> str:
    """The time in UTC, as text that sorts by time."""
    iso = iso_time(stamp)
    if len(iso) <= len("2026-01-02"):
        return iso
    moment = datetime.fromisoformat(iso)
    return (moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)).isoformat()
