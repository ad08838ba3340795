"""Tracing spans of a document, from its claim to its rows. Does nothing where traces are off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from models.jobs import Work
from models.outcomes import Failed
from models.schema.database import DatabaseUnavailableError
from models.tracing import Traces
from worker.engine.api import Engine, Reply, Request
from worker.queue.group_commit import EndedJob
from worker.telemetry.safe_logging import about


@dataclass(frozen=True, slots=True)
class DocumentTraces:
    """Spans of the documents that one worker processes."""

    traces: Traces = field(default_factory=lambda: Traces("", service=""))
    traceparent_of: Callable[[Sequence[int]], str | None] = lambda _job_ids: None
    """The traceparent of the run that requested these jobs; see Queries.traceparent_of."""

    @contextmanager
    def document(self, work: Work, claim_began_ns: int) -> Iterator[None]:
        """Span around the processing of a document; the claim came before and is added."""
        if not self.traces.is_on:
            yield
            return
        of = {"document": work.document_id, "jobs": len(work.jobs)}
        parent = self._parent(work)
        with self.traces.span("document", parent=parent, began_ns=claim_began_ns, **of):
            with self.traces.span("claim", began_ns=claim_began_ns):
                pass
            with about(trace=self.traces.trace_id):
                yield

    @contextmanager
    def record(self, ended: Sequence[EndedJob]) -> Iterator[None]:
        """Span around the writing of rows."""
        with self.traces.span("record", jobs=len(ended)) as add_event:
            yield
            for job, outcome in ended:
                how = outcome.reason.value if isinstance(outcome, Failed) else "finished"
                add_event("job", job=job.id, task=job.question.task.value, outcome=how, attempt=job.attempt)

    def engine(self, engine: Engine) -> Engine:
        """The engine, with a span for each round of requests."""
        return _TracedEngine(engine, self.traces) if self.traces.is_on else engine

    def _parent(self, work: Work) -> str | None:
        try:
            return self.traceparent_of([job.id for job in work.jobs])
        except DatabaseUnavailableError:
            return None  # a trace without its parent is better than a document that waits


class _TracedEngine:
    """Measures the time until the engine answers, waiting included."""

    def __init__(self, engine: Engine, traces: Traces) -> None:
        self._engine, self._traces = engine, traces
        self.context_tokens = engine.context_tokens
        self.count_tokens = engine.count_tokens

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:
        with self._traces.span("engine", requests=len(requests)) as add_event:
            replies = self._engine.answer(requests, is_urgent=is_urgent)
            add_event(prompt_tokens=sum(getattr(reply, "prompt_tokens", 0) for reply in replies))
            return replies
