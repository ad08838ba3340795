"""OpenTelemetry spans from a submission to its rows; off unless NOTEMILL_TRACES_URL is set.

Attributes are ids, numbers and fixed words: never a note's text, its external id, or an exception's message.
A worker's spans belong to the trace of the run, whose `traceparent` (W3C Trace Context) is in SQL: also if
a message was lost, or a sweep sent it. No other file imports the library.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from models.errors import UsageError

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_EXPORT_TIMEOUT_SECONDS = 5.0
"""The longest time that a collector without an answer delays the end of a process."""


class SpanRecorder(Protocol):
    """Adds attributes to a span; with `event`, adds an event with these attributes."""

    def __call__(self, event: str = "", /, **attributes: int | float | str) -> None: ...


def _tell_nobody(_event: str = "", /, **_attributes: int | float | str) -> None:
    pass


class Traces:
    """The spans of one process."""

    def __init__(self, url: str, *, service: str, instance: str = "") -> None:
        """`url`: an OTLP receiver over HTTP; empty: tracing is off and no library is loaded.
        Raises UsageError if the library is not installed."""
        self._tracer: Any = None
        self._provider: Any = None
        if url:
            self._open(url, {"service.name": service, "service.instance.id": instance or service})

    @property
    def is_on(self) -> bool:
        return self._tracer is not None

    @contextmanager
    def span(
        self, name: str, *, parent: str | None = None, began_ns: int | None = None, **attributes: int | str
    ) -> Iterator[SpanRecorder]:
        """A span around the block. `parent`: a traceparent; None: the enclosing span, if any.
        `began_ns`: nanoseconds since the epoch, if the span began before the block."""
        if self._tracer is None:
            yield _tell_nobody
            return
        span = self._tracer.start_span(
            name, context=_context_of(parent), attributes=_named(attributes), start_time=began_ns
        )
        with _current(span):
            yield _teller(span)

    @property
    def traceparent(self) -> str | None:
        """The traceparent of the current span; None if tracing is off."""
        if self._tracer is None:
            return None
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(headers)
        return headers.get("traceparent")

    @property
    def trace_id(self) -> str | None:
        """The trace id in log lines: 32 hexadecimal digits."""
        traceparent = self.traceparent
        return traceparent.split("-")[1] if traceparent else None

    def close(self) -> None:
        """Sends the remaining spans."""
        if self._provider is not None:
            self._provider.shutdown()

    def _open(self, url: str, names: dict[str, str]) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            raise UsageError(
                "NOTEMILL_TRACES_URL needs the extra `tracing`. Type: pip install 'notemill[tracing]'"
            ) from None
        exporter = OTLPSpanExporter(endpoint=url, timeout=_EXPORT_TIMEOUT_SECONDS)
        # The owner closes it: a provider that closes itself at exit would delay a killed command.
        self._provider = TracerProvider(resource=Resource.create(names), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("notemill")


def _context_of(traceparent: str | None) -> Any:
    if traceparent is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent})


@contextmanager
def _current(span: Span) -> Iterator[None]:
    """Makes the span current. Its default would record the exception's message, which may quote a note."""
    from opentelemetry.trace import Status, StatusCode, use_span

    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def _teller(span: Span) -> SpanRecorder:
    def tell(event: str = "", /, **attributes: int | float | str) -> None:
        if event:
            span.add_event(event, _named(attributes))
        else:
            span.set_attributes(_named(attributes))

    return tell


def _named(attributes: dict[str, Any]) -> dict[str, Any]:
    return {f"notemill.{name}": value for name, value in attributes.items()}
