"""HTTP client and completions API: requests as sent, and responses as parsed."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import llguidance
import pytest

from models.settings import Settings
from worker.engine.api import RequestError
from worker.engine.http.completions import (
    MalformedAnswerError,
    generation_body,
    parse_completion,
    parse_log_probabilities,
    scoring_body,
)
from worker.engine.http.http_client import ServerClient, ServerError
from worker.engine.output_formats import EntityList

NOTE = "Given aspirin 81 mg for chest pain."
COMPLETION = {
    "choices": [{"text": " aspirin\n", "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 4},
}
TOO_LONG = "This model's maximum context length is 9 tokens. However, you requested 4 output tokens and TOKEN"


class ScriptedHandler(BaseHTTPRequestHandler):
    """Sends the scripted responses in order and records the requests."""

    script: Iterator[tuple[int, str]]
    requests: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append({"headers": dict(self.headers), "body": json.loads(body)})
        self.do_GET()

    def do_GET(self) -> None:
        status, answer = next(self.script)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def serve():
    """Starts servers for scripts; returns a client and the list of recorded requests."""
    started = []

    def start(*script: tuple[int, Any], **settings: Any) -> tuple[ServerClient, list[dict[str, Any]]]:
        texts = [
            (status, answer if isinstance(answer, str) else json.dumps(answer)) for status, answer in script
        ]
        handler = type("Handler", (ScriptedHandler,), {"script": iter(texts), "requests": []})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        client = ServerClient(
            Settings(engine="http", http_url=url, http_model="mistral", http_key="sesame", **settings)
        )
        started.append((server, client))
        return client, handler.requests

    yield start
    for server, client in started:
        client.close()
        server.shutdown()
        server.server_close()


def complete(client: ServerClient, **body: Any) -> Any:
    return client.complete({"prompt": [1, 2], **body}, deadline=time.monotonic() + 20)


def vllm_answer(**logprobs: float) -> dict[str, Any]:
    """A response of vLLM with `return_tokens_as_token_ids`."""
    top = {name.replace("token_", "token_id:"): value for name, value in logprobs.items()}
    return {"choices": [{"logprobs": {"tokens": [], "token_logprobs": [], "top_logprobs": [top]}}]}


def test_a_grammar_is_sent_as_lark_that_the_guidance_backend_accepts():
    body = generation_body([1], max_tokens=9, end_token=2, output_format=EntityList(NOTE, 3), grammar="lark")
    grammar = body["structured_outputs"]["grammar"]
    assert not llguidance.LLMatcher.validate_grammar(llguidance.grammar_from("grammar", grammar))
    assert body["grammar"] == "%llguidance {}\n" + grammar


def test_a_schema_is_sent_in_the_fields_of_both_servers():
    body = generation_body(
        [1], max_tokens=9, end_token=2, output_format=EntityList(NOTE, 3), grammar="json_schema"
    )
    assert body["response_format"]["json_schema"]["schema"] == body["json_schema"]
    assert body["json_schema"]["maxItems"] == 3
    assert body["temperature"] == 0


def test_log_probabilities_of_vllm_are_normalised_over_the_words():
    body = scoring_body([1], [7, 9, 7])
    assert body["logprob_token_ids"] == [7, 9]
    scores = parse_log_probabilities(
        vllm_answer(token_7=math.log(0.3), token_9=math.log(0.1), token_4=-0.5), [7, 9]
    )
    assert [round(math.exp(score), 3) for score in scores] == [0.75, 0.25]


def test_an_omitted_word_gets_at_most_the_remaining_probability():
    scores = parse_log_probabilities(vllm_answer(token_4=math.log(0.5), token_7=math.log(0.4)), [7, 9])
    assert [round(math.exp(score), 3) for score in scores] == [0.8, 0.2]


@pytest.mark.parametrize(
    "answer", [{}, [], 3, None, {"choices": []}, {"choices": [{"logprobs": None}]}, "TOKEN"]
)
def test_a_malformed_response_is_an_error_that_does_not_quote_it(answer):
    for parse in (parse_completion, lambda response: parse_log_probabilities(response, [7, 9])):
        with pytest.raises(MalformedAnswerError) as raised:
            parse(answer)
        assert "TOKEN" not in str(raised.value)


@pytest.mark.parametrize("status", [401, 404, 429, 500, 502, 503, 504])
def test_requests_to_an_unavailable_server_are_repeated_until_it_answers(serve, status):
    client, requests = serve((status, "TOKEN"), (status, ""), (200, COMPLETION))
    assert complete(client) == COMPLETION
    assert len(requests) == 3
    assert requests[0]["body"] == {"model": "mistral", "prompt": [1, 2]}
    assert requests[0]["headers"]["Authorization"] == "Bearer sesame"


def test_three_responses_of_500_fail_the_request(serve):
    client, requests = serve(*[(500, "TOKEN")] * 4)
    assert complete(client) == RequestError("crashed", "the server answers 500")
    assert len(requests) == 3


@pytest.mark.parametrize(
    ("status", "answer", "reason"),
    [
        (400, {"error": {"message": TOO_LONG}}, "too_long"),
        (400, {"error": {"message": "Failed to parse grammar: TOKEN"}}, "unparsable"),
        (422, "TOKEN", "unparsable"),
        (200, "TOKEN {", "unparsable"),
    ],
)
def test_an_invalid_request_fails_once_and_is_not_quoted(serve, caplog, status, answer, reason):
    client, requests = serve((status, answer))
    with caplog.at_level(logging.DEBUG, "worker"):
        error = complete(client)
    assert error.reason == reason
    assert len(requests) == 1
    assert "TOKEN" not in error.detail + caplog.text


def test_the_client_waits_for_a_server_that_loads(serve, monkeypatch):
    monkeypatch.setattr("worker.engine.http.http_client._LONGEST_WAIT_SECONDS", 0.1)
    model_list = {"data": [{"id": "mistral", "max_model_len": 4_096}, {"id": "other"}]}
    client, _ = serve((503, ""), (503, ""), (200, model_list))
    assert client.served().context_tokens == 4_096


@pytest.mark.parametrize("answer", ["TOKEN", [], {"data": 3}, {"data": [3]}, {"data": [{"id": "other"}]}])
def test_a_server_without_the_model_is_an_error_that_says_what_to_type(serve, answer):
    client, _ = serve((200, answer))
    with pytest.raises(ServerError, match="NOTEMILL_HTTP_MODEL"):
        client.served()
