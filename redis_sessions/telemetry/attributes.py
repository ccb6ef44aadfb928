"""Attributes that spans and metrics share, and the end of a span."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .reference import SYSTEM

if TYPE_CHECKING:
    from opentelemetry.trace import Span


def messaging_attributes(operation: str, kind: str, agent: str) -> dict[str, Any]:
    """Return the attributes of a messaging operation. The queue of an agent is the destination."""
    named = {
        "messaging.system": SYSTEM, "messaging.operation.name": operation, "messaging.operation.type": kind,
    }  # fmt: skip
    return named | ({"messaging.destination.name": agent} if agent else {})


def context_of(traceparent: str | None) -> Any:
    """Return the span context that a traceparent names, or None."""
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if traceparent is None:
        return None
    found = TraceContextTextMapPropagator().extract(
        {"traceparent": traceparent}, trace.set_span_in_context(trace.INVALID_SPAN)
    )
    context = trace.get_current_span(found).get_span_context()
    return context if context.is_valid else None


def type_of(error: BaseException) -> str:
    return type(error).__qualname__


def end_span(span: Span, error_type: str | None) -> None:
    """End a span. Of an error it has the class, and not the text, which can hold the text of users."""
    if error_type:
        span.set_attribute("error.type", error_type)
        mark_failed(span)
    span.end()


def mark_failed(span: Span) -> None:
    """Set the status of a span to ERROR."""
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR))
