"""Steps that no scheduler makes in one go: full ones, and those at a cache's limit."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.machine.engine_steps import Network
from benchmarks.machine.token_counts import note_of
from worker.engine.batching.sequences import Beginning, Branch, Piece, Step

ROOM_TOKENS = 2_048
"""By which the shared cache grows (worker.engine.attention.kv_cache)."""
_WINDOW_TOKENS = 500
_ANY_TOKEN = 100


def reading(network: Network, num_tokens: int) -> Step:
    """Windows of about 500 tokens, the last one cut: a step that is full of them."""
    pieces: list[Piece] = []
    offset = 0
    while offset < num_tokens:
        number = len(pieces)
        text = note_of(network.chat, _WINDOW_TOKENS + number, number=number)
        tokens = tuple(network.chat.plain(text)[: num_tokens - offset])
        pieces.append(Piece(Beginning(tokens, offset=offset), 0, len(tokens)))
        offset += len(tokens)
    return Step(tuple(pieces), shared_tokens=offset)


def one_row(row_tokens: int, step_tokens: int) -> Step:
    """The last tokens of a row that fills the cache: what looks back the furthest."""
    beginning = Beginning((_ANY_TOKEN,) * row_tokens, offset=0)
    return Step((Piece(beginning, row_tokens - step_tokens, row_tokens),), shared_tokens=row_tokens)


def grown(shared_tokens: int, note_tokens: int = ROOM_TOKENS) -> Step:
    """One more note behind those that lie in the cache already."""
    start = shared_tokens - note_tokens
    beginning = Beginning((_ANY_TOKEN,) * note_tokens, offset=start)
    return Step((Piece(beginning, 0, note_tokens),), shared_tokens=shared_tokens)


def beside_branches(cached_tokens: int, rows: int, kept_tokens: int) -> Step:
    """A token for each of so many branches, over all that can be shared beside them.

    `cached_tokens`: of all together, as a cache counts them: what is shared is rounded up to whole rooms, and
    `kept_tokens`, each branch's own, to a multiple of 128.
    """
    own_tokens = rows * (-(-kept_tokens // 128) * 128)
    shared_tokens = (cached_tokens - own_tokens) // ROOM_TOKENS * ROOM_TOKENS
    beginning = Beginning((_ANY_TOKEN,) * shared_tokens, offset=0)
    tokens = [_ANY_TOKEN] * kept_tokens
    pieces = tuple(
        Piece(
            Branch(beginning, tokens, (kept_tokens - 1,), kept_tokens=kept_tokens, slot=slot),
            kept_tokens - 1,
            kept_tokens,
        )
        for slot in range(rows)
    )
    return Step(pieces, shared_tokens=shared_tokens, num_slots=rows, slot_tokens=kept_tokens)


def guessing(step: Step, guesses: int) -> Step:
    """The same with so many tokens more for each branch, to be verified."""
    pieces = []
    for piece in step.pieces:
        assert isinstance(piece.of, Branch)
        tokens = [*piece.of.tokens, *[_ANY_TOKEN] * guesses]
        wanted = tuple(range(piece.stop - 1, piece.stop + guesses))
        pieces.append(Piece(replace(piece.of, tokens=tokens, wanted=wanted), piece.start, len(tokens)))
    return replace(step, pieces=tuple(pieces))


def of_tokens(step: Step, num_tokens: int) -> Step:
    """Of a step that writes as many as it has, four for each branch, the last branch's fewer."""
    pieces = []
    for piece in guessing(step, 3).pieces:
        taken = min(piece.num_tokens, num_tokens - sum(one.num_tokens for one in pieces))
        if taken:
            pieces.append(replace(piece, stop=piece.start + taken))
    return replace(step, pieces=tuple(pieces))


def adapted(step: Step, *, uses_adapter: bool) -> Step:
    """The same with the adapter in effect for all of it, or for none."""
    for piece in step.pieces:
        piece.beginning.uses_adapter = uses_adapter
    return step
