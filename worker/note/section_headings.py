"""Section headings of a note, with their offsets and, where the name is known, the kind of the section.

Recognises headings by form ("PAST HISTORY:", "Family History" on its own line) and by the names in
section_headings.toml. A heading inside a section ("NECK:", "Mother:") inherits the kind of that section.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from worker.note.archive_boilerplate import boilerplate_start
from worker.note.stemming import content_stems

OTHER = "other"
"""The kind of sections with an unknown heading, and of the text before the first heading."""
BOILERPLATE = "index_terms"
"""The kind of archive boilerplate after the note, which has no heading and does not describe the patient."""


@dataclass(frozen=True, slots=True)
class NoteSection:
    """A section up to the next heading; offsets are in characters.

    Sections cover the whole text; the first may have no heading.
    """

    title: str
    """The heading as written, without its colon; '' before the first heading."""
    kind: str
    """A key of section_headings.toml, 'other' or 'index_terms'."""
    start: int
    body_start: int
    """The offset after the heading."""
    end: int


_TITLE = r"[A-Z][A-Za-z0-9 /&,'().-]{1,58}?"
# A heading begins a line, or follows a sentence or a comma, which MTSamples writes for a line break.
_HEADING = re.compile(
    rf"""
    (?:^|(?<=[\n\r])|(?<=[.;:!?)]\ )|(?<=[.;:]\ \ )|(?<=[.,]))
    (?:[\s*\#_•-]{{0,4}})(?P<title>{_TITLE})[*_]{{0,2}}
    (?:(?P<colon>\s?:)|(?P<numbered>,(?=\s?1\.))|(?P<alone>[^\S\r\n]{{0,20}}(?=[\r\n]|$)))
    """,
    re.VERBOSE,
)
_MODIFIER = re.compile(r"^(?:the|patient's|current|brief|pertinent|relevant|\d+\.?)\s+|\s*\([^)]*\)?$")


def sections(text: str) -> tuple[NoteSection, ...]:
    """The sections in order, without gaps, from offset 0 to the end of the text."""
    boilerplate = boilerplate_start(text)
    headings = [heading for heading in _headings(text) if heading[1] < boilerplate]
    if not headings or headings[0][1] > 0:
        headings.insert(0, ("", 0, 0, OTHER))
    if 0 < boilerplate < len(text):
        headings.append(("", boilerplate, boilerplate, BOILERPLATE))
    ends = [start for _, start, _, _ in headings[1:]] + [len(text)]
    return tuple(
        NoteSection(title=title, kind=kind, start=start, body_start=body_start, end=end)
        for (title, start, body_start, kind), end in zip(headings, ends, strict=True)
    )


def kind_of_title(title: str) -> str | None:
    """The kind of a heading; 'inherited' for a heading inside a section; None for an unknown heading."""
    name = _MODIFIER.sub("", " ".join(title.lower().split())).strip(" .-*")
    kinds = _kinds()
    if name in kinds:
        return kinds[name]
    if name.startswith("family") and "history" in name:
        return "family_history"
    if name.startswith(("past", "prior", "previous")) and name.endswith("history"):
        return "past_history"
    words = name.split(" ")
    for length in range(len(words) - 1, 0, -1):
        for part in (" ".join(words[-length:]), " ".join(words[:length])):
            if len(part) > 3 and kinds.get(part, "inherited") != "inherited":
                return kinds[part]
    return None


@lru_cache(maxsize=1_024)
def section_kinds_in_query(query: str) -> frozenset[str]:
    """The kinds of sections that a query names; the longest name wins: "discharge medications?"."""
    query_stems = frozenset(content_stems(query))
    lengths: dict[str, int] = {}
    for stems, kind in _kinds_by_stems().items():
        if stems <= query_stems:
            lengths[kind] = max(len(stems), lengths.get(kind, 0))
    longest = max(lengths.values(), default=0)
    return frozenset(kind for kind, length in lengths.items() if length == longest)


def _headings(text: str) -> Iterator[tuple[str, int, int, str]]:
    """Title, start, start of the body and kind of each heading."""
    kind = OTHER
    for match in _HEADING.finditer(text):
        title = match.group("title").rstrip(" ,")
        known_kind = kind_of_title(title)
        is_upper = title.isupper() and sum(map(str.isalpha, title)) >= 3
        is_exact = known_kind is not None and " ".join(title.lower().split()) in _kinds()
        is_titled = len(title.split()) <= 6 and title.istitle()
        before = text[max(0, match.start() - 1) : match.start("title")]
        at_line = match.start() == 0 or "\n" in before or "\r" in before
        if match.group("colon"):
            is_heading = is_upper or is_exact or (at_line and is_titled)
        elif match.group("numbered"):
            is_heading = is_upper or is_exact
        else:
            is_heading = (
                at_line
                and not title.endswith((".", ","))
                and (is_exact or (is_upper and len(title.split()) <= 8))
            )
        if not is_heading:
            continue
        if known_kind is None:
            kind = OTHER if is_upper else kind
        elif known_kind != "inherited":
            kind = known_kind
        elif is_upper and kind not in (
            "review_of_systems",
            "family_history",
            "past_history",
            "social_history",
        ):
            kind = "examination"
        yield title, match.start("title"), match.end(), kind


@cache
def _kinds() -> dict[str, str]:
    tables = tomllib.loads(Path(__file__).with_name("section_headings.toml").read_text("utf-8"))
    return {name: kind for kind, names in tables.items() for name in names}


@cache
def _kinds_by_stems() -> dict[frozenset[str], str]:
    kinds_by_stems = {
        frozenset(content_stems(name)): kind for name, kind in _kinds().items() if kind != "inherited"
    }
    kinds_by_stems.pop(frozenset(), None)
    return kinds_by_stems
