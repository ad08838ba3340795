"""Sentence splitter for clinical notes; sentences are character ranges of the text.

Every character except white space lies in exactly one sentence. Rules handle abbreviations, lists and line
breaks. One pass with bounded context: linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from models.answers import Span
from worker.note.archive_boilerplate import boilerplate_start
from worker.note.word_boundaries import word_set

MAX_SENTENCE_CHARACTERS = 1_000
"""Maximum length of a sentence; longer runs are cut. The longest of 261 MTSamples notes is 778 characters."""
_CONTEXT_CHARACTERS = 80
"""Context on either side of a candidate that decides whether a sentence ends there."""
_CANDIDATE = re.compile(
    r"""
    (?P<cjk>[。！？｡．]+[”’」』）》"')\]]*)
    | (?P<stop>[.!?…]+["'”’)\]]*,?)              # followed by white space or a glued word
    | (?P<join>,(?=[A-Z0-9]))                    # MTSamples writes a line break as a comma
    | (?P<colon>:(?=\s{0,3}1[.)]\s))             # "DIAGNOSES: 1.  Fibroids"
    | (?P<space>\s+)
    """,
    re.VERBOSE,
)
_LINE_BREAK = re.compile(r"\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
_LIST_MARKER = re.compile(
    r"(?:\d{1,2}|[A-Za-z])[.)](?=\s)|\d{1,2}[.)](?=[A-Z])|[-*•●▪‣◦–—+>](?=\s)|[•●▪‣◦]|#\s?\d"
)
_BULLET = re.compile(r"[•●▪‣◦]")
_NUMBERED = re.compile(r"\d{1,2}\.\s|\d{1,2}\.[A-Z]")
_INLINE_NUMBER = re.compile(r"(\d{1,2})[.)]\s+[A-Z]")
_HEADING = re.compile(r"[A-Z][A-Za-z0-9 /&'()-]{1,45}:")
_LAST_TOKEN = re.compile(r"[^\s,;:()\[\]]+$")
_LAST_WORDS = re.compile(r"(\S+)\s+\S+$")

_NEVER_LAST = word_set(
    """
    dr mr mrs ms prof vs i.e e.g cf approx fig figs st mt sr jr re rev gen sgt lt col ca resp
    """
)
"""Abbreviations whose full stop never ends a sentence."""
_SELDOM_LAST = word_set(
    """
    p.o b.i.d t.i.d q.i.d q.d q.h.s q.o.d q.a.m q.p.m p.r.n h.s a.c p.c n.p.o s.c s.q i.m i.v i.d
    s.l p.r a.m p.m b.p d.o.b y.o w.o s.p h.o c.o r.o etc subq inc ltd co dept hosp univ tab tabs
    cap caps susp inj sol gtt gtts q h d s mg mcg ml cc cm mm kg gm g lb lbs oz in ft hr hrs min
    mins sec wk wks mo mos yr yrs no nos pt pts dx hx rx tx fx sx wt ht temp max dec jan feb mar apr
    jun jul aug sept oct nov
    """
)
"""Abbreviations whose full stop may end a sentence, but not before a lower-case letter or a digit."""
_SENTENCE_STARTERS = word_set(
    """
    the he she it this these those there they we i patient her his their a an in on at no after upon
    under both all then once next following please if when as for with will was is
    """
)
_WORDS_BEFORE_NUMBERS = word_set(
    """
    type stage grade class level phase score was is of to than at and or x times number no
    """
)
_GLUED_SUFFIXES = word_set(
    """
    com org net edu gov html htm pdf doc docx txt jpg png xml json csv exe co uk de
    """
)


def sentences(text: str, max_characters: int = MAX_SENTENCE_CHARACTERS) -> tuple[Span, ...]:
    """The sentences in order: disjoint, trimmed, and not longer than `max_characters`.

    Together they contain every character except white space. Archive boilerplate is a separate sentence.
    """
    boilerplate = boilerplate_start(text)
    starts = [0, *(start for start in _sentence_starts(text) if start < boilerplate), boilerplate, len(text)]
    return tuple(
        span
        for start, end in pairwise(starts)
        for span in _cut_to_length(text, *_trimmed(text, start, end), max_characters)
    )


def _sentence_starts(text: str) -> Iterator[int]:
    """Yields the offsets at which a new sentence begins; white space may follow them."""
    wrap_width = _wrap_width(text)
    item_number = 0
    sentence_start = 0
    for candidate in _CANDIDATE.finditer(text):
        before = text[max(sentence_start, candidate.start() - _CONTEXT_CHARACTERS) : candidate.start()]
        after = text[candidate.end() : candidate.end() + _CONTEXT_CHARACTERS]
        kind = candidate.lastgroup
        is_end = (
            kind == "cjk"
            or (kind == "stop" and _ends_at_stop(candidate.group(), before, after))
            or (kind == "join" and _ends_at_comma(before, after))
            or (kind == "colon" and len(before) > 2)
            or (kind == "space" and _ends_at_space(text, candidate, sentence_start, wrap_width))
        )
        if kind == "space" and (number := _INLINE_NUMBER.match(after)):
            is_next = int(number.group(1)) == item_number + 1 and (
                item_number > 0 or candidate.start() == sentence_start or before[-1:] == ":"
            )
            is_named = item_number > 0 and _last_token(before).lower() in _WORDS_BEFORE_NUMBERS
            if is_next and not is_named:
                is_end, item_number = True, item_number + 1
        if kind == "space" and "\n\n" in candidate.group():
            item_number = 1 if after.startswith(("1.", "1)")) else 0
        if is_end:
            sentence_start = candidate.end()
            yield sentence_start


def _ends_at_stop(stop: str, before: str, after: str) -> bool:
    token = _last_token(before)
    if not after:
        return True
    if stop[-1] == ",":
        return not after[0].isspace() and not after[0].islower()  # "Fibroid uterus.,2.  Anemia"
    if not after[0].isspace():
        return _ends_at_glued_stop(token, after)
    if stop[0] in "!?":
        return bool(before) and not before[-1].isspace()  # "? pneumonia" begins a sentence
    following = after.lstrip()
    if not following:
        return True
    if token.isdigit() and len(token) <= 2 and not before[: -len(token)].strip(" \t\r\n,-*•"):
        return False  # "1." begins a list item
    if len(token) == 1 and token.isalpha() and before.strip() == token and stop == ".":
        return False  # "A." begins a list item or a name
    bare = token.lower().strip(".")
    if bare in _NEVER_LAST or (bare in ("no", "nos", "q") and following[0].isdigit()):
        return False
    if (
        following[0].islower()
        or (following[0].isdigit() and not _NUMBERED.match(following))
        or following[0] in "(,;"
    ):
        is_abbreviation = bare in _SELDOM_LAST or "." in bare or len(bare) <= 1 or _is_dosing(bare)
        return not is_abbreviation and (not following[0].islower() or len(bare) > 3)
    return not _is_initial(token, before, following)


def _ends_at_glued_stop(token: str, after: str) -> bool:
    """True if a full stop without white space after it ends a sentence: "done.The"."""
    word = re.match(r"[A-Za-z]+", after)
    if word is None or len(token) < 3 or not token[-2:].isalpha() or any(sign in token for sign in "./@"):
        return False
    rest = after[word.end() : word.end() + 1]
    if word.group().lower() in _GLUED_SUFFIXES or rest in (".", "@", "/") or not token.isalpha():
        return False
    if word.group()[0].isupper():
        return len(word.group()) > 1 and (token[1:].islower() or len(token) > 3)
    return len(token) > 3 and len(word.group()) > 3


def _ends_at_comma(before: str, after: str) -> bool:
    """True if a comma without white space after it stands for a line break before a list item or heading."""
    if not before or before[-1].isspace() or before[-1].isdigit():
        return False
    return bool(_NUMBERED.match(after) or _HEADING.match(after))


def _ends_at_space(text: str, candidate: re.Match[str], sentence_start: int, wrap_width: int) -> bool:
    after = text[candidate.end() : candidate.end() + _CONTEXT_CHARACTERS]
    if not after or candidate.start() <= sentence_start:
        return False
    if _BULLET.match(after):
        return True
    line_breaks = len(_LINE_BREAK.findall(candidate.group()))
    if line_breaks != 1:
        return line_breaks > 1
    line = text[max(0, candidate.start() - 200) : candidate.start()]
    line = line[max(line.rfind("\n"), line.rfind("\r")) + 1 :]
    if (
        _LIST_MARKER.match(after)
        or _HEADING.match(after)
        or "\t" in line
        or "|" in line
        or "   " in line.strip()
    ):
        return True
    if line[-1] in ".!?:" and _last_token(line).lower().strip(".") not in _NEVER_LAST | _SELDOM_LAST:
        return True
    first_word = after.split(None, 1)[0]
    if len(line) + 1 + len(first_word) > wrap_width > 0:
        return False  # the next word did not fit on the line: a hard wrap
    return line[-1] not in ",;" and not (after[0].islower() and len(line) >= 40)


def _wrap_width(text: str) -> int:
    """The column at which the lines of the note are wrapped; 0 if they are not wrapped."""
    lengths = [len(line) for line in text.splitlines()]
    widest = max((length for length in lengths if length <= 140), default=0)
    if widest < 50 or any(length > 140 for length in lengths):
        return 0
    return widest if sum(length > widest - 15 for length in lengths) >= 3 else 0


def _is_initial(token: str, before: str, following: str) -> bool:
    if len(token) != 1 or not token.isupper():
        return False
    previous = _LAST_WORDS.search(before)
    next_word = re.match(r"\w*", following)
    is_name = previous is not None and (
        previous.group(1)[0].isupper() or previous.group(1).lower().strip(".") in _NEVER_LAST
    )
    return is_name and next_word is not None and next_word.group().lower() not in _SENTENCE_STARTERS


def _is_dosing(bare: str) -> bool:
    """True for dosing such as q4h, q.4-6h, 4-6h, x2d."""
    return re.fullmatch(r"q?\.?\s?\d{1,2}(-\d{1,2})?h(rs?)?|x\d+[a-z]?", bare) is not None


def _last_token(before: str) -> str:
    match = _LAST_TOKEN.search(before[-40:])
    return match.group() if match else ""


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    stripped = text[start:end].lstrip()
    start = end - len(stripped)
    return start, start + len(stripped.rstrip())


def _cut_to_length(text: str, start: int, end: int, max_characters: int) -> Iterator[Span]:
    """Cuts [start, end) into parts of at most `max_characters`, after clauses or words where possible."""
    while end - start > max_characters:
        head = text[start : start + max_characters + 1]
        cut = max(head.rfind("; "), head.rfind(", ")) + 1
        if cut < max_characters // 2:
            cut = max((space.start() for space in re.finditer(r"\s", head)), default=0)
        cut = cut or max_characters
        yield Span(start=start, end=_trimmed(text, start, start + cut)[1])
        start, end = _trimmed(text, start + cut, end)
    if start < end:
        yield Span(start=start, end=end)
