"""Weights by name or folder: prepared once, found again, and errors that say what to type."""

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


def test_a_folder_given_by_path_is_used_unchanged(folder):
    before = sorted(folder.iterdir())
    assert prepare(Settings(weights=str(folder))) == folder
    assert sorted(folder.iterdir()) == before


def test_a_folder_without_weights_is_an_error_that_names_the_setting(tmp_path):
    with pytest.raises(WeightsError, match="NOTEMILL_WEIGHTS"):
        prepare(Settings(weights=str(tmp_path / "nothing")))


def test_unprepared_weights_are_an_error_that_says_what_to_type():
    with pytest.raises(WeightsError, match="notemill weights prepare"):
        prepared_folder(Settings())


def test_an_unknown_name_is_an_error_that_lists_the_known_names():
    with pytest.raises(WeightsError, match="mistral-7b"):
        prepare(Settings(weights="llama-9000"))


def test_hub_weights_are_downloaded_once_at_a_pinned_revision(folder, monkeypatch):
    import huggingface_hub

    downloads = []

    def download(repository, *, revision, local_dir, **_options):
        downloads.append((repository, revision))
        Path(local_dir).mkdir()
        (Path(local_dir) / "config.json").write_text("{}")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    settings = Settings(weights="mistral-7b")
    assert prepare(settings) == prepare(settings) == prepared_folder(settings)
    assert downloads == [weights.HUB_MODELS["mistral-7b"]]
    assert len(downloads[0][1]) == 40


def test_an_unreachable_hub_leaves_nothing_half_prepared(monkeypatch):
    import huggingface_hub

    def fail(*_arguments, **_options):
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    settings = Settings(weights="mistral-7b")
    with pytest.raises(WeightsError, match="NOTEMILL_WEIGHTS"):
        prepare(settings)
    assert not is_prepared(settings)
    assert list((settings.home_folder / "weights").iterdir()) == []


def test_the_digest_depends_on_contents_and_not_on_time(folder, tmp_path):
    settings = Settings(weights=str(folder))
    first = weights_sha256(settings)
    (folder / "config.json").touch()
    (folder / "README.md").write_text("a model card changes no answer")
    assert weights_sha256(settings) == first
    config = folder / "generation_config.json"
    config.write_text(json.dumps({"changed": True}))
    assert weights_sha256(settings) != first


def test_weights_without_a_tokenizer_are_an_error_that_names_the_files(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "bare")
    for path in (tmp_path / "bare").glob("tokenizer*"):
        path.unlink()
    with pytest.raises(WeightsError, match=r"tokenizer\.json"):
        load_tokenizer(Settings(weights=str(tmp_path / "bare")))


def test_an_adapter_folder_without_an_adapter_is_an_error(tmp_path):
    with pytest.raises(WeightsError, match="NOTEMILL_ADAPTER"):
        adapter_folder(Settings(adapter=str(tmp_path)))
    assert adapter_folder(Settings(adapter="none")) is None
