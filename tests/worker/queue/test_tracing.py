"""Traces from a submission to its rows, as real processes send them to a real OTLP receiver."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from redis_server import RedisServer
from workshop import Workshop

from models.documents import Document
from models.errors import UsageError
from models.tracing import Traces
from producer import submit
from worker.recipe import serving

pytest_plugins = ("redis_server", "workshop")
WORD = "Wxyzzy"


class Collector(ThreadingHTTPServer):
    """Receives spans by OTLP over HTTP and keeps the bodies as bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiving)
        self.bodies: list[bytes] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/traces"

    @property
    def spans(self) -> list[tuple[str, Any]]:
        """The received spans, each with the name of its service."""
        spans = []
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                attributes = {
                    attribute.key: attribute.value.string_value for attribute in resource.resource.attributes
                }
                spans += [
                    (attributes["service.name"], span)
                    for scope in resource.scope_spans
                    for span in scope.spans
                ]
        return spans

    def named(self, name: str) -> list[Any]:
        return [span for _, span in self.spans if span.name == name]


class _Receiving(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_gzip = self.headers.get("Content-Encoding") == "gzip"
        self.server.bodies.append(gzip.decompress(body) if is_gzip else body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Prints nothing to standard error."""


@dataclass(frozen=True)
class Traced:
    """The traces of two notes, one of which makes the engine crash."""

    collector: Collector
    workshop: Workshop


@pytest.fixture(scope="module")
def traced(_session_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """Submits two notes, processes them with a worker, and yields their traces."""
    _session_redis.client.flushall()
    folder, collector = tmp_path_factory.mktemp("traced"), Collector()
    workshop = Workshop(folder, f"sqlite:///{folder / 'notemill.db'}", _session_redis.url)
    changes = {"traces_url": collector.url, "max_attempts": 1, "log_format": "json"}
    settings = workshop.settings(**changes)
    assert workshop.database
    notes = [
        Document(external_id=f"{WORD}-{way}", text=f"{WORD} has a fever. {way}") for way in ("", "CRASH")
    ]
    submit(notes, tasks=(), searches=f"{WORD}?", settings=settings, serving=serving(settings))
    worker = workshop.start(**changes)
    workshop.until(lambda: sorted(workshop.statuses()) == ["failed", "finished"])
    worker.process.terminate()
    assert worker.ends() == 0, worker.log
    yield Traced(collector, workshop)
    collector.shutdown()
    workshop.close()


def test_one_trace_goes_from_the_submission_through_the_worker_to_the_rows(traced: Traced) -> None:
    spans, named = traced.collector.spans, traced.collector.named
    [submitted] = named("submit")
    assert {span.trace_id for _, span in spans} == {submitted.trace_id}
    assert {service for service, _ in spans} == {"notemill-producer", "notemill-worker"}
    documents = {span.span_id for span in named("document")}
    assert {span.parent_span_id for span in named("document")} == {submitted.span_id}
    assert {span.parent_span_id for span in named("claim") + named("record")} <= documents


def test_the_event_of_a_record_span_names_the_job_of_its_row(traced: Traced) -> None:
    [record] = traced.collector.named("record")
    [event] = record.events
    attributes = {
        attribute.key: attribute.value.string_value or attribute.value.int_value
        for attribute in event.attributes
    }
    assert attributes["notemill.outcome"] == "finished"
    statement = f"SELECT status FROM jobs WHERE id = {attributes['notemill.job']}"
    assert traced.workshop.column(statement) == ["finished"]


def test_no_word_of_a_note_its_id_or_a_question_is_in_a_span(traced: Traced) -> None:
    [crashed] = [span for span in traced.collector.named("engine") if span.status.code]
    assert crashed.status.message == "ValueError"
    assert not crashed.events
    assert WORD.encode() not in b"".join(traced.collector.bodies)


def test_a_log_line_names_its_document_and_trace(traced: Traced) -> None:
    lines = [json.loads(line) for line in traced.workshop.started[0].log.splitlines()]
    [submitted] = traced.collector.named("submit")
    [failed] = [line for line in lines if "ValueError" in line["message"]]
    assert (failed["level"], failed["logger"]) == ("error", "worker.queue.document_task")
    assert failed["message"].startswith(f"document {failed['document']}: ValueError at ")
    assert failed["trace"] == submitted.trace_id.hex()


def test_without_a_url_nothing_is_traced_and_no_library_is_loaded() -> None:
    code = "import sys; from models.tracing import Traces; traces = Traces('', service='x')\n"
    code += "with traces.span('a') as tell: tell(run=1); print(traces.is_on, traces.traceparent)\n"
    code += "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False None\n"


def test_an_unreachable_collector_does_not_stop_a_submission(workshop: Workshop) -> None:
    settings = workshop.settings(traces_url="http://127.0.0.1:1/v1/traces")
    assert workshop.database
    note = Document(external_id="n", text="Fever.")
    submit([note], tasks=(), searches="fever?", settings=settings, serving=serving(settings))
    assert workshop.statuses() == ["pending"]


def test_the_setting_without_the_extra_is_an_error_that_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(UsageError, match=r"notemill\[tracing\]"):
        Traces("http://127.0.0.1:1/v1/traces", service="x")
