"""A llama.cpp server in a process of its own: prints its address, and ends with its standard input.

python -m benchmarks.peers.llama_process FILE.gguf '{"slots": 8, "ubatch": 512}'
"""

from __future__ import annotations

import json
import sys
from typing import Any

import xllamacpp

SLOT_TOKENS = 4_096


def parameters(path: str, options: dict[str, Any]) -> xllamacpp.CommonParams:
    """The server's parameters: two threads, prompt cache on, no chat template, no web page."""
    wanted = xllamacpp.CommonParams()
    wanted.model.path = path
    wanted.n_parallel = options["slots"]
    wanted.n_ctx = SLOT_TOKENS * options["slots"]
    wanted.n_batch = max(2_048, options["ubatch"])
    wanted.n_ubatch = options["ubatch"]
    wanted.kv_unified = options["unified"]
    wanted.n_cache_reuse = options["reuse"]
    wanted.flash_attn_type = options["flash"]
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = options["threads"]
    wanted.fit_params = False
    wanted.ui = False
    wanted.verbosity = 0
    return wanted


if __name__ == "__main__":
    server = xllamacpp.Server(parameters(sys.argv[1], json.loads(sys.argv[2])))
    print(server.listening_address, flush=True)
    sys.stdin.read()
