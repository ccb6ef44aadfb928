"""The spans of requests and of the handling of work."""

from __future__ import annotations

from time import perf_counter
from types import TracebackType
from typing import Any, Self

from ..models.observer import Handling, Request
from .attributes import context_of, end_span, messaging_attributes, type_of
from .reference import FAILURES


class TracedRequest(Request):
    """The span of a send, a spawn or a claim. It is the current span in the block."""

    def __init__(self, tracer: Any, instruments: dict[str, Any], operation: str, session_id: str, agent: str) -> None:
        self._tracer = tracer
        self._instruments = instruments
        self._operation = operation
        self._session_id = session_id
        self._agent = agent
        self._span: Any = None
        self._token: Any = None
        self._began = 0.0

    def name_agent(self, agent: str) -> None:
        """Name the span by the agent, which is known at the second attempt only. ':inbox' stands for none."""
        if agent and not agent.startswith(":") and agent != self._agent:
            self._agent = agent
            self._span.update_name(f"{self._operation} {agent}")
            self._span.set_attributes({"messaging.destination.name": agent, "gen_ai.agent.name": agent})

    def link(self, traceparent: str | None) -> None:
        """Link the span to the request of the claimed work."""
        context = context_of(traceparent)
        if context is not None:
            self._span.add_link(context)

    def __enter__(self) -> Self:
        from opentelemetry import context, trace

        attributes = self._labels()
        if self._agent:
            attributes["gen_ai.agent.name"] = self._agent
        if self._session_id:
            attributes["gen_ai.conversation.id"] = self._session_id
        kind = trace.SpanKind.CONSUMER if self._operation == "claim" else trace.SpanKind.PRODUCER
        name = f"{self._operation} {self._agent}".rstrip()
        self._span = self._tracer.start_span(name, kind=kind, attributes=attributes)
        self._token = context.attach(trace.set_span_in_context(self._span))
        found = self._span.get_span_context()
        if found.is_valid:
            self.traceparent = f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"
        self._began = perf_counter()
        return self

    def _labels(self) -> dict[str, Any]:
        return messaging_attributes(self._operation, "receive" if self._operation == "claim" else "send", self._agent)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from opentelemetry import context

        labels = self._labels()
        if error is not None:
            labels["error.type"] = type_of(error)
        instruments = self._instruments
        instruments["messaging.client.operation.duration"].record(perf_counter() - self._began, labels)
        if self._operation != "claim":
            instruments["messaging.client.sent.messages"].add(1, labels)
        context.detach(self._token)
        end_span(self._span, labels.get("error.type"))


class TracedHandling(Handling):
    """The span of the handling of a run or turn. It is the current span of the handler."""

    def __init__(
        self, tracer: Any, instruments: dict[str, Any], name: str, labels: dict[str, Any], counted: dict[str, Any],
        attributes: dict[str, Any], traceparent: str | None,
    ) -> None:  # fmt: skip
        self._tracer = tracer
        self._instruments = instruments
        self._name = name
        self._labels, self._counted, self._attributes = labels, counted, attributes
        self._traceparent = traceparent
        self._span: Any = None
        self._token: Any = None
        self._began = 0.0
        self._event, self._error = "", ""

    def begin(self) -> None:
        """Begin the span, in the trace of the request."""
        from opentelemetry import context, trace

        found = context_of(self._traceparent)
        parent = trace.INVALID_SPAN if found is None else trace.NonRecordingSpan(found)
        self._span = self._tracer.start_span(
            self._name, trace.set_span_in_context(parent), trace.SpanKind.CONSUMER, self._attributes,
            [] if found is None else [trace.Link(found)],
        )  # fmt: skip
        self._token = context.attach(trace.set_span_in_context(self._span))
        self._began = perf_counter()

    def note(self, event: str, error_type: str | None = None) -> None:
        """Count an event of the work."""
        self._event, self._error = event, (error_type or event) if event in FAILURES else ""
        counter = self._instruments["redis_sessions.work.events"]
        counter.add(1, self._counted | {"redis_sessions.event": event})

    def end(self) -> None:
        """End the span, whose status is that of the last event."""
        from opentelemetry import context

        if self._span is None:
            return
        span, self._span = self._span, None
        labels = self._labels | ({"error.type": self._error} if self._error else {})
        self._instruments["messaging.process.duration"].record(perf_counter() - self._began, labels)
        context.detach(self._token)
        span.set_attribute("redis_sessions.event", self._event)
        end_span(span, self._error)
