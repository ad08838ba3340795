"""Fixtures for tests of the local engine: tiny random weights, an adapter, and an engine over them."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    from tiny import write_tiny_weights

    return write_tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def engine(weights):
    from models.settings import Settings
    from worker.engine.network.local_engine import load

    engine = load(Settings(weights=str(weights), quantization="none", max_batch_rows=4))
    yield engine
    engine.close()
