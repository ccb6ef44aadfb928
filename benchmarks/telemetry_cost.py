"""The cost of telemetry for an append: CPU time of this process, with and without, against an executor that answers at once.

Run with `python -m benchmarks.telemetry_cost`. It needs the extra `otel` and opentelemetry-sdk.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from time import perf_counter

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from redis_sessions import SessionCache
from redis_sessions.telemetry import Telemetry

_ROUNDS, _CALLS = 15, 2000
_WITHOUT_SPAN = ("off", "on without calls", "on, no span is open")


class _Drop(SpanProcessor):
    """Drops every span."""


def sdk_costs(tracer: trace.Tracer, meters: MeterProvider) -> dict[str, Callable[[], object]]:
    """Return what the SDK does for a call, without redis_sessions: the least that a span and a measurement cost."""
    attributes = {
        "db.system.name": "redis", "server.address": "127.0.0.1", "db.operation.name": "EVALSHA",
        "db.stored_procedure.name": "messages/append",
    }  # fmt: skip
    of_span = {**attributes, "gen_ai.conversation.id": "session-1"}
    duration = meters.get_meter("sdk").create_histogram("sdk.duration", "s")
    kind = trace.SpanKind.CLIENT
    return {
        "a measurement with 4 attributes": lambda: duration.record(0.001, attributes),
        "a span without attributes": lambda: tracer.start_span("append", kind=kind).end(),
        "a span with 5 attributes": lambda: tracer.start_span("append", kind=kind, attributes=of_span).end(),
    }


def _repeated(call: Callable[[], object]) -> Callable[[], float]:
    """Return a function that measures the microseconds of CPU that a call takes."""

    def measure() -> float:
        began = time.process_time_ns()
        for _ in range(_CALLS):
            call()
        return (time.process_time_ns() - began) / _CALLS / 1000

    return measure


def cost_of_call(cache: SessionCache) -> Callable[[], float]:
    """Return a function that measures the microseconds that the telemetry of one append takes."""
    telemetry = cache._context.telemetry
    if telemetry.is_on:

        def call() -> None:
            telemetry.note_call(perf_counter(), "EVALSHA", "messages/append", "session-1")
            telemetry.count_messages(1)
    else:

        def call() -> None:
            pass

    return _repeated(call)


def append_cost(cache: SessionCache) -> Callable[[], float]:
    """Return a function that measures the microseconds of CPU that one append takes in this process."""
    session = cache.create(max_messages=10)
    message = {"role": "user", "content": "hello"}

    def measure() -> float:
        began = time.thread_time_ns()
        for _ in range(_CALLS // 10):
            session.append(message)
        return (time.thread_time_ns() - began) / (_CALLS // 10) / 1000

    return measure


def main() -> None:
    """Print the least and the median of several rounds, which alternate between the cases."""
    sampled = TracerProvider()
    sampled.add_span_processor(_Drop())
    meters = MeterProvider([InMemoryMetricReader()])
    cases = {
        "off": None,
        "on without calls": Telemetry(sampled, meters, calls=False),
        "on, no span is open": Telemetry(sampled, meters),
        "on, a span that is not sampled is open": Telemetry(TracerProvider(sampler=ALWAYS_OFF), meters),
        "on, recorded, spans of slow calls alone": Telemetry(sampled, meters, call_spans_over="1s"),
        "on, a span is open and recorded": Telemetry(sampled, meters),
    }
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        caches = {name: SessionCache.from_url(f"embedded://{folder}", telemetry=one) for name, one in cases.items()}
        sdk = {name: _repeated(one) for name, one in sdk_costs(sampled.get_tracer("t"), meters).items()}
        show("the SDK alone, in a span that is recorded", sdk, sampled)
        show("telemetry of one call alone", {name: cost_of_call(one) for name, one in caches.items()}, sampled)
        show("an append, CPU of its thread", {name: append_cost(one) for name, one in caches.items()}, sampled)
        for cache in caches.values():
            cache.close()
    assert trace.get_current_span() is trace.INVALID_SPAN


def show(title: str, measures: dict[str, Callable[[], float]], sampled: TracerProvider) -> None:
    """Measure the cases in turn, each within the span that its name says, and print their times."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(_ROUNDS):
        for name, measure in measures.items():
            if name in _WITHOUT_SPAN:
                found[name].append(measure())
                continue
            provider = TracerProvider(sampler=ALWAYS_OFF) if "not sampled" in name else sampled
            with provider.get_tracer("t").start_as_current_span("parent"):
                found[name].append(measure())
    print(title)
    for name, times in found.items():
        print(f"  {name:<42} least {min(times):7.2f} µs   median {statistics.median(times):7.2f} µs")


if __name__ == "__main__":
    main()
