"""Recipes: everything that can change an answer changes them, and nothing else does."""

from __future__ import annotations

import json
import shutil

import pytest
from tiny import write_tiny_weights

from models.answers import Task
from models.jobs import recipe_for
from models.labels import Label, load_labels
from models.settings import Settings
from worker import recipe
from worker.recipe import serving
from worker.weights.model_files import WeightsError
from worker.weights.task_config import task_config


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_tiny_weights(tmp_path_factory.mktemp("weights"))


def adapter_folder(folder, **trained):
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "notemill.json").write_text(json.dumps(trained))
    return str(folder)


def ids(settings, labels=None):
    served = serving(settings)
    return {task: recipe_for(task, served, labels or load_labels()).id for task in Task}


def test_the_same_files_and_settings_give_the_same_recipes(weights):
    assert ids(Settings(weights=str(weights))) == ids(Settings(weights=str(weights)))


def test_settings_that_change_no_answer_change_no_recipe(weights):
    plain = Settings(weights=str(weights))
    other = Settings(
        weights=str(weights), max_batch_rows=3, worker_threads=2, lease_seconds=5, log_level="ERROR"
    )
    assert ids(plain) == ids(other)


@pytest.mark.parametrize("changed", [{"quantization": "none"}, {"window_tokens": 99}])
def test_quantization_and_windows_change_every_recipe(weights, changed):
    before, after = ids(Settings(weights=str(weights))), ids(Settings(weights=str(weights), **changed))
    assert all(before[task] != after[task] for task in Task)


def test_a_recipe_includes_the_bits_in_which_an_adapter_is_computed(weights, tmp_path):
    usual = {"weights": str(weights), "adapter": adapter_folder(tmp_path / "adapter", tasks=["entities"])}
    servings = [serving(Settings(**usual, quantization=quantization)) for quantization in ("nf4", "none")]
    assert [served.ingredients["adapted_bits"] for served in servings] == [8, 16]


def test_other_weights_change_every_recipe(weights, tmp_path):
    other = shutil.copytree(weights, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"rope_theta": 5.0}))
    before, after = ids(Settings(weights=str(weights))), ids(Settings(weights=str(other)))
    assert all(before[task] != after[task] for task in Task)


def test_labels_change_the_recipe_of_entities_alone(weights):
    settings = Settings(weights=str(weights))
    before, after = ids(settings), ids(settings, (Label(name="device", definition="A device."),))
    assert [task for task in Task if before[task] != after[task]] == [Task.ENTITIES]


def test_a_prompt_changes_the_recipes_of_the_tasks_that_use_it(weights, monkeypatch):
    settings = Settings(weights=str(weights))
    before, original = ids(settings), recipe.templates_sha256
    monkeypatch.setattr(
        recipe, "templates_sha256", lambda *names: original(*names) + "!" * ("entities_list" in names)
    )
    after = ids(settings)
    assert [task for task in Task if before[task] != after[task]] == [Task.ENTITIES]


def test_an_adapter_says_which_tasks_and_labels_it_was_trained_for(weights, tmp_path):
    adapter = adapter_folder(tmp_path / "adapter", tasks=["entities"], labels=["problem"])
    config = task_config(Settings(weights=str(weights), adapter=adapter))
    assert config.adapter_tasks == {Task.ENTITIES}
    assert config.is_summary_extractive
    assert config.are_tagged((Label(name="problem", definition="Any."),))
    assert not config.are_tagged(load_labels())


def test_an_unsupported_answer_form_is_an_error_that_names_the_setting(weights):
    for form in ({"entities_form": "marks"}, {"summary_form": "chosen"}):
        with pytest.raises(WeightsError, match="NOTEMILL_"):
            task_config(Settings(weights=str(weights), **form))


def server_settings(weights, **changes):
    return Settings(**{"weights": str(weights), "engine": "http", "http_model": "mistral", **changes})


def test_a_recipe_identifies_the_weights_of_a_server_by_name_and_not_by_url(weights):
    before = ids(server_settings(weights))
    assert (
        ids(server_settings(weights, http_url="https://elsewhere/v1", http_key="k", http_concurrency=2))
        == before
    )
    for changed in (
        {"http_model": "mistral-awq"},
        {"http_grammar": "json_schema"},
        {"engine": "transformers"},
    ):
        assert all(ids(server_settings(weights, **changed))[task] != before[task] for task in Task)


def test_a_producer_computes_the_recipe_of_a_server_from_the_tokenizer_alone(weights, tmp_path):
    whole = ids(server_settings(weights))
    bare = shutil.copytree(weights, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
    assert ids(server_settings(bare)) == whole
    (bare / "tokenizer_config.json").write_text("{}")
    assert ids(server_settings(bare)) != whole


def test_a_server_generates_entity_lists_and_abstractive_summaries(weights):
    config = task_config(server_settings(weights))
    assert not config.are_tagged(load_labels())
    assert not config.is_summary_extractive


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"http_model": ""}, "set NOTEMILL_HTTP_MODEL"),
        ({"entities_form": "marks"}, "set NOTEMILL_ENTITIES_FORM=list"),
        ({"summary_form": "chosen"}, "set NOTEMILL_SUMMARY_FORM=written"),
        ({"adapter": "/adapters/mine"}, "set NOTEMILL_ADAPTER=none"),
    ],
)
def test_an_unsupported_server_setting_is_an_error_that_says_what_to_set(weights, changed, message):
    with pytest.raises(WeightsError, match=message):
        serving(server_settings(weights, **changed))


def test_the_generated_list_can_be_forced_although_the_adapter_supports_tagging(weights, tmp_path):
    adapter = adapter_folder(tmp_path / "adapter", tasks=["entities"], labels=["problem"])
    config = task_config(Settings(weights=str(weights), adapter=adapter, entities_form="list"))
    assert not config.are_tagged((Label(name="problem", definition="Any."),))
