"""Runs a llama.cpp server: prints its address, and ends when its standard input closes.

python -m benchmarks.peers.llama_process FILE.gguf '{"slots": 8, "ubatch": 512}'
"""

from __future__ import annotations

import json
import sys
from typing import Any

import xllamacpp

SLOT_TOKENS = 4_096


def parameters(path: str, options: dict[str, Any]) -> xllamacpp.CommonParams:
    """The server's parameters, without the web page. `options`: see llama_server.START."""
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_parallel = options["slots"]
    params.n_ctx = SLOT_TOKENS * options["slots"]
    params.n_batch = max(2_048, options["ubatch"])
    params.n_ubatch = options["ubatch"]
    params.kv_unified = options["unified"]
    params.n_cache_reuse = options["reuse"]
    params.flash_attn_type = options["flash"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options["threads"]
    params.fit_params = False
    params.ui = False
    params.verbosity = 0
    return params


if __name__ == "__main__":
    server = xllamacpp.Server(parameters(sys.argv[1], json.loads(sys.argv[2])))
    print(server.listening_address, flush=True)
    sys.stdin.read()
