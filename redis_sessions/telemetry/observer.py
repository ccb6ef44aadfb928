"""The telemetry of one cache: it records spans and metrics."""

from __future__ import annotations

from time import perf_counter, time_ns
from typing import Any

from ..models.observer import Handling, Observer, Request, ServerAddress
from .attributes import mark_failed, messaging_attributes, type_of
from .instruments import Instruments
from .work import TracedHandling, TracedRequest

_DEFAULT_PORT = 6379
"""The conventions leave the port out when it is the default one. Each attribute of a call costs about a microsecond."""
_NANOSECONDS = 1_000_000_000


class OpenTelemetry(Observer):
    """Records the spans and metrics of one cache."""

    is_on = True

    def __init__(self, tracer: Any, instruments: Instruments, server: ServerAddress, call_spans_over: float) -> None:
        from opentelemetry import trace

        self.tracer = tracer
        self.instruments = instruments.by_name
        self._durations = self.instruments["db.client.operation.duration"]
        self._totals = instruments.totals
        self._call_spans_over = call_spans_over
        self._current_span = trace.get_current_span
        self._kind = trace.SpanKind.CLIENT
        host, port = server.address
        self._server: dict[str, Any] = {"db.system.name": "redis", "server.address": host}
        if server.database != "0":
            self._server["db.namespace"] = server.database
        if port not in (None, _DEFAULT_PORT):
            self._server["server.port"] = port
        self._calls: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}

    def note_call(
        self, began: float, operation: str, procedure: str, session_id: str, size: int = 1, error: BaseException | None = None
    ) -> None:  # fmt: skip
        """Record the duration of a call, and its span if the span around it is recorded.

        So what runs in the background makes no traces, and a trace that is not sampled costs nothing.
        """
        seconds = perf_counter() - began
        name, attributes = self._calls.get((operation, procedure)) or self._describe(operation, procedure)
        if error is not None:
            attributes = {**attributes, "error.type": type_of(error)}
        self._durations.record(seconds, attributes)
        if seconds < self._call_spans_over and error is None:
            return
        around = self._current_span()
        if not around.is_recording() and not around.get_span_context().trace_flags.sampled:
            return
        end = time_ns()
        attributes = attributes.copy()
        if session_id:
            attributes["gen_ai.conversation.id"] = session_id
        if size > 1:
            attributes["db.operation.batch.size"] = size
        start = end - int(seconds * _NANOSECONDS)
        span = self.tracer.start_span(name, None, self._kind, attributes, start_time=start)
        if error is not None:
            mark_failed(span)
        span.end(end)

    def _describe(self, operation: str, procedure: str) -> tuple[str, dict[str, Any]]:
        """Return the name and the attributes of a kind of calls, which are made once."""
        attributes = self._server | {"db.operation.name": operation}
        if procedure:
            attributes["db.stored_procedure.name"] = procedure
        self._calls[operation, procedure] = found = f"{operation} {procedure}".rstrip(), attributes
        return found

    def count_retries(self, number: int) -> None:
        """Count the attempts of a call after a transport error."""
        self._totals["redis_sessions.client.retries"].add(number)

    def count_messages(self, number: int) -> None:
        """Count messages that were stored."""
        self._totals["redis_sessions.messages.stored"].add(number)

    def count_lost_lease(self) -> None:
        """Count a lease that was lost."""
        self._totals["redis_sessions.leases.lost"].add(1)

    def requesting(self, operation: str, session_id: str, agent: str = "") -> Request:
        """Return the span of a request, which begins with the `with` block."""
        return TracedRequest(self.tracer, self.instruments, operation, session_id, agent)

    def handling(
        self, *, work: str, session_id: str, run_id: str, agent_id: str, attempt: int, worker: str, traceparent: str | None,
        waited_ms: int,
    ) -> Handling:  # fmt: skip
        """Count a claim, and return the handling."""
        labels = messaging_attributes("process", "process", agent_id)
        self.instruments["messaging.client.consumed.messages"].add(
            1, messaging_attributes("claim", "receive", agent_id)
        )
        counted = {"messaging.destination.name": agent_id, "redis_sessions.work": work}
        if waited_ms >= 0:
            self.instruments["redis_sessions.work.wait"].record(waited_ms / 1000, counted)
        attributes = labels | {
            "messaging.client.id": worker, "gen_ai.agent.name": agent_id, "gen_ai.conversation.id": session_id,
            "redis_sessions.work": work, "redis_sessions.run.id": run_id, "redis_sessions.attempt": attempt,
        }  # fmt: skip
        return TracedHandling(
            self.tracer, self.instruments, f"process {agent_id}", labels, counted, attributes, traceparent
        )


class WithoutCalls(OpenTelemetry):
    """Records everything but single calls, so that an append costs next to nothing."""

    def note_call(
        self, began: float, operation: str, procedure: str, session_id: str, size: int = 1, error: BaseException | None = None
    ) -> None:  # fmt: skip
        """Do nothing."""
