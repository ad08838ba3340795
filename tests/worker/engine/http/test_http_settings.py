"""Settings of the HTTP engine: errors at the start that say what to type, and a worker on a remote model."""

from __future__ import annotations

import pytest
from making import documents
from servers import KEY, http_settings

from console.manage.config import displayed_value
from console.manage.service_checks import check_engine
from models.answers import Task
from models.jobs import Question, recipe_for
from models.labels import load_labels
from models.store.store import Store
from worker.engine.http.http_client import ServerError
from worker.engine.http.http_engine import load
from worker.recipe import serving

pytest_plugins = ("redis_server", "workshop", "servers")

NOTE = "The patient was given aspirin 81 mg for chest pain. Denies fever or cough. Seen by Dr. Lee."


@pytest.fixture(scope="module")
def server(llama_server):
    return llama_server


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"http_key": "false"}, "NOTEMILL_HTTP_KEY"),
        ({"http_model": "mistral"}, "NOTEMILL_HTTP_MODEL to one of: smollm2"),
        ({"http_url": "http://127.0.0.1:9/v1"}, "start it, or set NOTEMILL_HTTP_URL"),
        ({"http_url": "http://no.such.host.invalid/v1", "http_may_leave_machine": True}, "NOTEMILL_HTTP_URL"),
    ],
)
def test_a_wrong_setting_is_an_error_at_the_start_that_says_what_to_type(
    server, tokenizer_folder, wrong, expected
):
    with pytest.raises(ServerError, match=expected) as raised:
        load(http_settings(server, tokenizer_folder, **wrong))
    assert "false" not in str(raised.value)


def test_a_wrong_path_is_distinguished_from_an_unreachable_server(server, tokenizer_folder):
    url = server.url.removesuffix("/v1") + "/v2"
    with pytest.raises(ServerError, match="usually ends with /v1"):
        load(http_settings(server, tokenizer_folder, http_url=url))


def test_the_doctor_checks_the_server(server, tokenizer_folder):
    check = check_engine(http_settings(server, tokenizer_folder))
    assert check.is_ok
    assert "serves smollm2, 8,192 tokens long" in check.found
    with pytest.raises(ServerError):
        check_engine(http_settings(server, tokenizer_folder, http_model="another"))


def test_the_key_is_never_shown(server, tokenizer_folder):
    settings = http_settings(server, tokenizer_folder)
    assert displayed_value(settings, "http_key") == "***"
    assert KEY not in repr(settings)


def test_a_worker_writes_answers_of_a_remote_model_as_rows(workshop, server, tokenizer_folder):
    settings = http_settings(
        server, tokenizer_folder, adapter="none", home=workshop.folder, http_grammar="lark"
    )
    labels = tuple(label for label in load_labels() if label.name == "medication")
    questions = [
        Question(task=Task.ENTITIES),
        Question(task=Task.SEARCH, parameters={"query": "Is there fever?"}),
        Question(task=Task.SUMMARY, parameters={"max_words": 30}),
    ]
    recipes = {task: recipe_for(task, serving(settings), labels) for task in Task}
    store = Store(workshop.database)
    run_id = store.open_run(questions=questions, recipes=list(recipes.values()), sources=[])
    registered = store.register(run_id, documents(NOTE), questions, recipes)
    changes = settings.model_dump(include={"engine", "http_url", "http_key", "http_model", "weights"})
    worker = workshop.start(is_stand_in=False, **changes)
    worker.says("the http engine is ready")
    workshop.send(document_id=registered.owed_document_ids[0])
    workshop.until_all("finished")
    texts = workshop.column("SELECT text FROM v_entities UNION ALL SELECT text FROM v_passages")
    assert all(text in NOTE for text in texts)
    assert workshop.column("SELECT title FROM v_summaries")[0] in NOTE
    assert "aspirin" not in worker.log
    assert KEY not in worker.log
