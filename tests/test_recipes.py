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
from worker import recipes
from worker.recipes import serving, ways
from worker.weights import WeightsError


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_tiny_weights(tmp_path_factory.mktemp("weights"))


def adapter_folder(folder, **trained):
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "notemill.json").write_text(json.dumps(trained))
    return str(folder)


def ids(settings, labels=None):
    made = serving(settings)
    return {task: recipe_for(task, made, labels or load_labels()).id for task in Task}


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
    before, original = ids(settings), recipes.templates_sha256
    monkeypatch.setattr(
        recipes, "templates_sha256", lambda *names: original(*names) + "!" * ("entities_list" in names)
    )
    after = ids(settings)
    assert [task for task in Task if before[task] != after[task]] == [Task.ENTITIES]


def test_comments_and_docstrings_of_the_code_change_nothing(tmp_path):
    (tmp_path / "a.py").write_text('"""Doc."""\n\n\ndef f(x):\n    """Doc."""\n    return x + 1  # why\n')
    (tmp_path / "b.py").write_text("def f(x):\n    return x + 1\n")
    (tmp_path / "c.py").write_text("def f(x):\n    return x + 2\n")
    bare = {name: recipes._bare(tmp_path / f"{name}.py") for name in "abc"}
    assert bare["a"] == bare["b"] != bare["c"]


def test_an_adapter_says_which_tasks_and_labels_it_was_trained_for(weights, tmp_path):
    adapter = adapter_folder(tmp_path / "adapter", tasks=["entities"], labels=["problem"])
    how = ways(Settings(weights=str(weights), adapter=adapter))
    assert how.adapted_tasks == {Task.ENTITIES}
    assert how.is_summary_chosen
    assert how.are_marked((Label(name="problem", definition="Any."),))
    assert not how.are_marked(load_labels())


def test_a_form_that_the_weights_do_not_have_is_an_error_that_names_the_setting(weights):
    for form in ({"entities_form": "marks"}, {"summary_form": "chosen"}):
        with pytest.raises(WeightsError, match="NOTEMILL_"):
            ways(Settings(weights=str(weights), **form))


def test_lists_can_be_asked_for_where_marks_could_be_had(weights, tmp_path):
    adapter = adapter_folder(tmp_path / "adapter", tasks=["entities"], labels=["problem"])
    how = ways(Settings(weights=str(weights), adapter=adapter, entities_form="list"))
    assert not how.are_marked((Label(name="problem", definition="Any."),))
