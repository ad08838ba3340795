"""Attention of branches that write, one kernel of a GPU: each over its beginning, then over its own tokens.

Written in Triton, which comes with torch for CUDA: import it only where Triton is.
A softmax in one pass over the keys, as in FlashAttention (arXiv 2205.14135). Knows no scheduler.
"""

from __future__ import annotations

import logging

import torch
import triton
import triton.language as tl

from worker.engine.attention.batch_layout import CHUNK_COLUMNS
from worker.engine.attention.batch_packing import MAX_DECODE_TOKENS

log = logging.getLogger(__name__)

_KEYS = 64
"""Looked at together."""
_LEAST_ROWS = 16
"""Of a product on tensor cores."""


def is_working(device: torch.device, heads: int, key_heads: int, size: int) -> bool:
    """Tries it, which compiles it: that takes a GPU that multiplies bf16, heads of a power of two, a C
    compiler, and a home to keep what was made."""
    query = torch.zeros((1, heads, size), dtype=torch.bfloat16, device=device)
    keys = torch.zeros((1, key_heads, 1, size), dtype=torch.bfloat16, device=device)
    chunks = torch.tensor([[0, 1, 0, 1, 0, 0]], device=device)
    out = torch.empty_like(query)
    try:
        attend(query, (keys[0], keys[0]), (keys, keys), chunks, out)
        out.cpu()  # waits for it
    except Exception as error:  # noqa: BLE001  whatever compiler, driver or disk have to say
        log.warning("no kernel for branches that write (%s): writing is slower", type(error).__name__)
        log.warning(
            "Triton needs a GPU of Ampere or later, a C compiler such as gcc, and ~/.triton to write to"
        )
        return False
    return True


def attend(
    query: torch.Tensor,
    shared: tuple[torch.Tensor, torch.Tensor],
    own: tuple[torch.Tensor, torch.Tensor],
    chunks: torch.Tensor,
    out: torch.Tensor,
) -> None:
    """Writes to `out` what the pieces' tokens find; their own keys and values are in the caches already.

    query, out: [tokens, heads, size]; keys and values `shared`: [key heads, tokens, size] each, `own`:
    [slots, key heads, tokens, size]; pieces: [number, PIECE_COLUMNS], as worker.engine.attention.batch_layout has them.
    """
    _, heads, size = query.shape
    key_heads = len(shared[0])
    each = heads // key_heads
    _kernel[(len(chunks), key_heads)](
        query,
        *shared,
        *own,
        chunks,
        out,
        size**-0.5,
        query.stride(0),
        out.stride(0),
        shared[0].stride(0),
        own[0].stride(0),
        own[0].stride(1),
        each=each,
        size=size,
        num_rows=max(_LEAST_ROWS, triton.next_power_of_2(MAX_DECODE_TOKENS * each)),
        num_keys=_KEYS,
        num_columns=CHUNK_COLUMNS,
    )


@triton.jit
def _kernel(
    query,
    shared_keys,
    shared_values,
    own_keys,
    own_values,
    chunks,
    out,
    scale,
    query_stride,
    out_stride,
    shared_stride,
    slot_stride,
    head_stride,
    each: tl.constexpr,
    size: tl.constexpr,
    num_rows: tl.constexpr,
    num_keys: tl.constexpr,
    num_columns: tl.constexpr,
):
    """One piece and one key head: the query heads that share it, of all tokens, are rows of one product."""
    chunk = chunks + tl.program_id(0) * num_columns
    head = tl.program_id(1)
    first, count = tl.load(chunk), tl.load(chunk + 1)
    start, stop = tl.load(chunk + 2), tl.load(chunk + 3)
    slot, before = tl.load(chunk + 4), tl.load(chunk + 5)
    rows, columns, keys = tl.arange(0, num_rows), tl.arange(0, size), tl.arange(0, num_keys)
    token = rows // each
    is_token = (token < count)[:, None]
    lane = (head * each + rows % each)[:, None] * size + columns[None, :]
    where = (first + token)[:, None]
    asked = tl.load(query + where * query_stride + lane, mask=is_token, other=0.0)
    most = tl.full((num_rows,), float("-inf"), tl.float32)
    sums = tl.zeros((num_rows,), tl.float32)
    found = tl.zeros((num_rows, size), tl.float32)
    # Rows without a token see as far as one would: a softmax over nothing would not be a number.
    offset = head * shared_stride
    last = stop - 1 + 0 * token
    for at in range(start, stop, num_keys):
        ours, theirs = shared_keys + offset, shared_values + offset
        scores = _scores(asked, ours, at + keys, stop, last, columns, scale, size)
        most, sums, found = _added(scores, theirs, at + keys, stop, columns, most, sums, found, size)
    offset = slot * slot_stride + head * head_stride
    last, stop = before + token, before + count
    for at in range(0, stop, num_keys):
        ours, theirs = own_keys + offset, own_values + offset
        scores = _scores(asked, ours, at + keys, stop, last, columns, scale, size)
        most, sums, found = _added(scores, theirs, at + keys, stop, columns, most, sums, found, size)
    answer = (found / sums[:, None]).to(out.dtype.element_ty)
    tl.store(out + where * out_stride + lane, answer, mask=is_token)


@triton.jit
def _scores(asked, keys, at, stop, last, columns, scale, size: tl.constexpr):
    """[rows, keys]: of the keys at some places, minus infinity from `stop` on and after each row's `last`."""
    block = tl.load(keys + at[:, None] * size + columns[None, :], mask=(at < stop)[:, None], other=0.0)
    is_seen = (at < stop)[None, :] & (at[None, :] <= last[:, None])
    return tl.where(is_seen, tl.dot(asked, tl.trans(block)) * scale, float("-inf"))


@triton.jit
def _added(
    scores,
    values,
    at,
    stop,
    columns,
    most,
    sums,
    found,
    size: tl.constexpr,
):
    """The running softmax with these scores and values more."""
    newest = tl.maximum(most, tl.max(scores, 1))
    weights = tl.exp(scores - newest[:, None])
    share = tl.exp(most - newest)
    block = tl.load(values + at[:, None] * size + columns[None, :], mask=(at < stop)[:, None], other=0.0)
    found = found * share[:, None] + tl.dot(weights.to(block.dtype), block)
    return newest, sums * share + tl.sum(weights, 1), found
