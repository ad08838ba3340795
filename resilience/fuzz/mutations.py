"""Good input made bad: bytes changed, cut, doubled, mixed with another's, and words put in that mean much.

Everything is drawn by one random.Random, so that an input is known by its seed and number.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Sequence

CANARY = b"canary4711"
"""Stands in place of a note's words in seeds: no reason for a refusal may have it."""
MOST_BYTES = 200_000
ODD = (
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc2\x85", b"\xe2\x80\xa8", b"\xf0\x9f"),
    *(b"\r", b"\r\n", b"\n\n", b"\t", b'"', b'""', b"'", b",", b";", b"|", b"^", b"&", b"~", b"\\"),
    *(b"{", b"}", b"[", b"]", b"(", b")", b"<", b">", b"</", b"/>", b"<![CDATA[", b"]]>", b"<!--", b"&#0;"),
    *(b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>', b"&b;", b"\\u0000", b"\\ud800", b"\\X00\\"),
    *(b"null", b"true", b"NaN", b"1e999", b"-1", b"0", b"99999999999999999999", b"[" * 3_000, b"{}"),
    *(b"\x1f\x8b\x08", b"PAR1", b"PK\x03\x04", b"%PDF-", b"{\\rtf1", b"MSH|^~\\&|", b"\\u-1?", b"\\bin9999 "),
    *(b"=cmd()", b"\x1b[2J", b"</s>", b"[INST]", b"<|im_start|>", b"document_id", b"text", b"id", CANARY),
)

Change = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutated(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds after one to six changes; now and then as it is, or compressed."""
    content = chance.choice(seeds)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 6))):
        content = chance.choice(_CHANGES)(chance, content, seeds)[:MOST_BYTES]
    return gzip.compress(content, 1) if chance.random() < 0.03 else content


def _bytes_changed(chance: random.Random, content: bytes, _seeds: Sequence[bytes]) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        if changed:
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _put_in(chance: random.Random, content: bytes, _seeds: Sequence[bytes]) -> bytes:
    place = chance.randint(0, len(content))
    put = chance.choice((chance.choice(ODD), chance.randbytes(chance.randint(1, 40))))
    return content[:place] + put + content[place:]


def _put_over(chance: random.Random, content: bytes, _seeds: Sequence[bytes]) -> bytes:
    place, put = chance.randint(0, len(content)), chance.choice(ODD)
    return content[:place] + put + content[place + len(put) :]


def _cut_out(chance: random.Random, content: bytes, _seeds: Sequence[bytes]) -> bytes:
    first, last = _stretch(chance, content)
    return content[:first] + content[last:]


def _cut_off(chance: random.Random, content: bytes, _seeds: Sequence[bytes]) -> bytes:
    return content[: chance.randint(0, len(content))]


def _repeated(chance: random.Random, content: bytes, _seeds: Sequence[bytes]) -> bytes:
    first, last = _stretch(chance, content)
    return content[:last] + content[first:last] * chance.choice((1, 2, 10, 300)) + content[last:]


def _mixed(chance: random.Random, content: bytes, seeds: Sequence[bytes]) -> bytes:
    other = chance.choice(seeds)
    first, last = _stretch(chance, other)
    place = chance.randint(0, len(content))
    return content[:place] + other[first:last] + content[place:]


def _number_changed(chance: random.Random, content: bytes, _seeds: Sequence[bytes]) -> bytes:
    places = [place for place, byte in enumerate(content[:20_000]) if 48 <= byte <= 57]
    if not places:
        return content
    place = chance.choice(places)
    return content[:place] + chance.choice((b"-1", b"0", b"4294967296", b"1e309", b"")) + content[place + 1 :]


def _stretch(chance: random.Random, content: bytes) -> tuple[int, int]:
    first = chance.randint(0, len(content))
    return first, min(len(content), first + chance.choice((1, 8, 64, 1_000)))


_CHANGES: tuple[Change, ...] = (
    *(_bytes_changed, _put_in, _put_in, _put_over, _cut_out, _cut_off, _repeated, _mixed, _number_changed),
)
