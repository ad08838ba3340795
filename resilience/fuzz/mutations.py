"""Mutations of good input: bytes changed, cut, repeated, mixed with other input, special tokens inserted.

One random.Random draws everything, so an input is reproduced by its seed and number.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Sequence

CANARY = b"canary4711"
"""Replaces words of notes in seeds: no reason of a refusal may contain it."""
MAX_INPUT_BYTES = 200_000
SPECIAL_TOKENS = (
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc2\x85", b"\xe2\x80\xa8", b"\xf0\x9f"),
    *(b"\r", b"\r\n", b"\n\n", b"\t", b'"', b'""', b"'", b",", b";", b"|", b"^", b"&", b"~", b"\\"),
    *(b"{", b"}", b"[", b"]", b"(", b")", b"<", b">", b"</", b"/>", b"<![CDATA[", b"]]>", b"<!--", b"&#0;"),
    *(b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>', b"&b;", b"\\u0000", b"\\ud800", b"\\X00\\"),
    *(b"null", b"true", b"NaN", b"1e999", b"-1", b"0", b"99999999999999999999", b"[" * 3_000, b"{}"),
    *(b"\x1f\x8b\x08", b"PAR1", b"PK\x03\x04", b"%PDF-", b"{\\rtf1", b"MSH|^~\\&|", b"\\u-1?", b"\\bin9999 "),
    *(b"=cmd()", b"\x1b[2J", b"</s>", b"[INST]", b"<|im_start|>", b"document_id", b"text", b"id", CANARY),
)

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutated(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """A seed after up to six mutations, sometimes compressed."""
    content = chance.choice(seeds)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 6))):
        content = chance.choice(_MUTATIONS)(chance, content, seeds)[:MAX_INPUT_BYTES]
    return gzip.compress(content, 1) if chance.random() < 0.03 else content


def _change_bytes(chance: random.Random, content: bytes, _seeds: Sequence[bytes]) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        if changed:
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _insert(chance: random.Random, content: bytes, _seeds: Sequence[bytes]) -> bytes:
    index = chance.randint(0, len(content))
    inserted = chance.choice((chance.choice(SPECIAL_TOKENS), chance.randbytes(chance.randint(1, 40))))
    return content[:index] + inserted + content[index:]


def _overwrite(chance: random.Random, content: bytes, _seeds: Sequence[bytes]) -> bytes:
    index, token = chance.randint(0, len(content)), chance.choice(SPECIAL_TOKENS)
    return content[:index] + token + content[index + len(token) :]


def _delete(chance: random.Random, content: bytes, _seeds: Sequence[bytes]) -> bytes:
    first, last = _random_slice(chance, content)
    return content[:first] + content[last:]


def _truncate(chance: random.Random, content: bytes, _seeds: Sequence[bytes]) -> bytes:
    return content[: chance.randint(0, len(content))]


def _repeat(chance: random.Random, content: bytes, _seeds: Sequence[bytes]) -> bytes:
    first, last = _random_slice(chance, content)
    return content[:last] + content[first:last] * chance.choice((1, 2, 10, 300)) + content[last:]


def _splice(chance: random.Random, content: bytes, seeds: Sequence[bytes]) -> bytes:
    other = chance.choice(seeds)
    first, last = _random_slice(chance, other)
    index = chance.randint(0, len(content))
    return content[:index] + other[first:last] + content[index:]


def _change_number(chance: random.Random, content: bytes, _seeds: Sequence[bytes]) -> bytes:
    digits = [index for index, byte in enumerate(content[:20_000]) if 48 <= byte <= 57]
    if not digits:
        return content
    index = chance.choice(digits)
    return content[:index] + chance.choice((b"-1", b"0", b"4294967296", b"1e309", b"")) + content[index + 1 :]


def _random_slice(chance: random.Random, content: bytes) -> tuple[int, int]:
    first = chance.randint(0, len(content))
    return first, min(len(content), first + chance.choice((1, 8, 64, 1_000)))


_MUTATIONS: tuple[Mutation, ...] = (
    *(_change_bytes, _insert, _insert, _overwrite, _delete, _truncate, _repeat, _splice, _change_number),
)
