"""Engine factory: garbage collection is paused while an engine loads."""

import gc

import pytest

from models.settings import Settings
from worker import engine_factory as factory
from worker.engine.http import http_engine


@pytest.mark.parametrize("was_enabled", [True, False])
def test_garbage_collection_is_paused_while_an_engine_loads(
    monkeypatch: pytest.MonkeyPatch, was_enabled: bool
) -> None:
    seen: list[bool] = []

    def load(*_given: object) -> None:
        seen.append(gc.isenabled())
        raise MemoryError

    monkeypatch.setattr(http_engine, "load", load)
    (gc.enable if was_enabled else gc.disable)()
    try:
        with pytest.raises(MemoryError):
            factory.load(Settings(engine="http", http_url="http://127.0.0.1:1"))
        assert (seen, gc.isenabled()) == ([False], was_enabled)
    finally:
        gc.enable()
