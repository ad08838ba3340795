"""Weights by name or folder: prepared once, found again, refused with what to type."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny import write_tiny_weights

from models.settings import Settings
from worker.engine.prompting.tokenizer import load_tokenizer
from worker.weights import model_files as weights
from worker.weights.model_files import (
    WeightsError,
    adapter_folder,
    is_prepared,
    prepare,
    prepared_folder,
    weights_sha256,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_weights(tmp_path_factory.mktemp("weights"))


def test_a_folder_of_ones_own_is_used_as_it_is(folder):
    before = sorted(folder.iterdir())
    assert prepare(Settings(weights=str(folder))) == folder
    assert sorted(folder.iterdir()) == before


def test_a_folder_without_weights_is_refused_by_the_settings_name(tmp_path):
    with pytest.raises(WeightsError, match="NOTEMILL_WEIGHTS"):
        prepare(Settings(weights=str(tmp_path / "nothing")))


def test_weights_that_are_not_prepared_say_what_to_type():
    with pytest.raises(WeightsError, match="notemill weights prepare"):
        prepared_folder(Settings())


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(WeightsError, match="mistral-7b"):
        prepare(Settings(weights="llama-9000"))


def test_hub_weights_are_fetched_once_and_at_a_pinned_revision(folder, monkeypatch):
    import huggingface_hub

    asked = []

    def download(repository, *, revision, local_dir, **_options):
        asked.append((repository, revision))
        Path(local_dir).mkdir()
        (Path(local_dir) / "config.json").write_text("{}")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    settings = Settings(weights="mistral-7b")
    assert prepare(settings) == prepare(settings) == prepared_folder(settings)
    assert asked == [weights.HUB_MODELS["mistral-7b"]]
    assert len(asked[0][1]) == 40


def test_a_hub_that_cannot_be_reached_leaves_nothing_half_prepared(monkeypatch):
    import huggingface_hub

    def fail(*_arguments, **_options):
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    settings = Settings(weights="mistral-7b")
    with pytest.raises(WeightsError, match="NOTEMILL_WEIGHTS"):
        prepare(settings)
    assert not is_prepared(settings)
    assert list((settings.home_folder / "weights").iterdir()) == []


def test_identity_is_of_contents_and_not_of_time(folder, tmp_path):
    settings = Settings(weights=str(folder))
    first = weights_sha256(settings)
    (folder / "config.json").touch()
    (folder / "README.md").write_text("a card changes no answer")
    assert weights_sha256(settings) == first
    config = folder / "generation_config.json"
    config.write_text(json.dumps({"changed": True}))
    assert weights_sha256(settings) != first


def test_weights_without_a_tokenizer_say_what_is_missing(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "bare")
    for path in (tmp_path / "bare").glob("tokenizer*"):
        path.unlink()
    with pytest.raises(WeightsError, match=r"tokenizer\.json"):
        load_tokenizer(Settings(weights=str(tmp_path / "bare")))


def test_an_adapter_folder_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="NOTEMILL_ADAPTER"):
        adapter_folder(Settings(adapter=str(tmp_path)))
    assert adapter_folder(Settings(adapter="none")) is None
