"""Triton kernel for decoding: attention of a few tokens a continuation over its prefix, then over its own
tokens.

Triton comes with torch for CUDA; import this module only where it is installed. The softmax makes one pass
over the keys, as in FlashAttention (arXiv 2205.14135).
"""

from __future__ import annotations

import logging

import torch
import triton
import triton.language as tl

from worker.engine.attention.batch_layout import CHUNK_COLUMNS
from worker.engine.attention.batch_packing import MAX_DECODE_TOKENS

log = logging.getLogger(__name__)

_KEY_BLOCK = 64
"""Keys of one block."""
_MIN_ROWS = 16
"""Minimum rows of a product on tensor cores."""


def is_working(device: torch.device, heads: int, key_heads: int, size: int) -> bool:
    """Compiles and runs the kernel once; False if that fails.

    It needs a GPU with bf16, a head size that is a power of two, a C compiler, and a writable home directory.
    """
    query = torch.zeros((1, heads, size), dtype=torch.bfloat16, device=device)
    keys = torch.zeros((1, key_heads, 1, size), dtype=torch.bfloat16, device=device)
    chunks = torch.tensor([[0, 1, 0, 1, 0, 0]], device=device)
    out = torch.empty_like(query)
    try:
        attend(query, (keys[0], keys[0]), (keys, keys), chunks, out)
        out.cpu()  # waits for the kernel
    except Exception as error:  # noqa: BLE001  compiler, driver and disk have many errors
        log.warning("the decode kernel does not work (%s): decoding is slower", type(error).__name__)
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
    """Writes the attention of the chunks to `out`; their own keys and values must be in the caches already.

    query, out: [tokens, heads, size]; keys and values `shared`: [key heads, tokens, size] each, `own`:
    [slots, key heads, tokens, size]; chunks: [number, CHUNK_COLUMNS], see
    `worker.engine.attention.batch_layout`.
    """
    _, heads, size = query.shape
    key_heads = len(shared[0])
    heads_per_key_head = heads // key_heads
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
        heads_per_key_head=heads_per_key_head,
        size=size,
        num_rows=max(_MIN_ROWS, triton.next_power_of_2(MAX_DECODE_TOKENS * heads_per_key_head)),
        num_keys=_KEY_BLOCK,
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
    heads_per_key_head: tl.constexpr,
    size: tl.constexpr,
    num_rows: tl.constexpr,
    num_keys: tl.constexpr,
    num_columns: tl.constexpr,
):
    """One chunk and one key head: the query heads that share it, of all tokens, are the rows of one
    product."""
    chunk = chunks + tl.program_id(0) * num_columns
    head = tl.program_id(1)
    first, count = tl.load(chunk), tl.load(chunk + 1)
    start, stop = tl.load(chunk + 2), tl.load(chunk + 3)
    slot, num_before = tl.load(chunk + 4), tl.load(chunk + 5)
    rows, columns, keys = tl.arange(0, num_rows), tl.arange(0, size), tl.arange(0, num_keys)
    token = rows // heads_per_key_head
    is_token = (token < count)[:, None]
    head_columns = (head * heads_per_key_head + rows % heads_per_key_head)[:, None] * size + columns[None, :]
    packed_index = (first + token)[:, None]
    queries = tl.load(query + packed_index * query_stride + head_columns, mask=is_token, other=0.0)
    largest = tl.full((num_rows,), float("-inf"), tl.float32)
    sums = tl.zeros((num_rows,), tl.float32)
    output = tl.zeros((num_rows, size), tl.float32)
    # Rows without a token attend like a token: a softmax over no keys would be NaN.
    offset = head * shared_stride
    last = stop - 1 + 0 * token
    for key_index in range(start, stop, num_keys):
        key_start, value_start = shared_keys + offset, shared_values + offset
        scores = _scores(queries, key_start, key_index + keys, stop, last, columns, scale, size)
        largest, sums, output = _accumulated(
            scores, value_start, key_index + keys, stop, columns, largest, sums, output, size
        )
    offset = slot * slot_stride + head * head_stride
    last, stop = num_before + token, num_before + count
    for key_index in range(0, stop, num_keys):
        key_start, value_start = own_keys + offset, own_values + offset
        scores = _scores(queries, key_start, key_index + keys, stop, last, columns, scale, size)
        largest, sums, output = _accumulated(
            scores, value_start, key_index + keys, stop, columns, largest, sums, output, size
        )
    result = (output / sums[:, None]).to(out.dtype.element_ty)
    tl.store(out + packed_index * out_stride + head_columns, result, mask=is_token)


@triton.jit
def _scores(queries, keys, key_index, stop, last, columns, scale, size: tl.constexpr):
    """[rows, keys]: scores of the keys at `key_index`, minus infinity from `stop` on and after each row's
    `last`."""
    block = tl.load(
        keys + key_index[:, None] * size + columns[None, :], mask=(key_index < stop)[:, None], other=0.0
    )
    is_seen = (key_index < stop)[None, :] & (key_index[None, :] <= last[:, None])
    return tl.where(is_seen, tl.dot(queries, tl.trans(block)) * scale, float("-inf"))


@triton.jit
def _accumulated(
    scores,
    values,
    key_index,
    stop,
    columns,
    largest,
    sums,
    output,
    size: tl.constexpr,
):
    """The running softmax after these scores and values."""
    new_largest = tl.maximum(largest, tl.max(scores, 1))
    weights = tl.exp(scores - new_largest[:, None])
    share = tl.exp(largest - new_largest)
    block = tl.load(
        values + key_index[:, None] * size + columns[None, :], mask=(key_index < stop)[:, None], other=0.0
    )
    output = output * share[:, None] + tl.dot(weights.to(block.dtype), block)
    return new_largest, sums * share + tl.sum(weights, 1), output
