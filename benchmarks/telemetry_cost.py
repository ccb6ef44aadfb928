"""The cost of telemetry for an append: CPU time of this process, with and without, against an executor that answers at once.

Run with `python -m benchmarks.telemetry_cost`. It needs the extra `otel` and opentelemetry-sdk.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from redis_sessions import SessionCache
from redis_sessions.telemetry import Telemetry

_ROUNDS, _CALLS = 15, 2000


class NoExporter(SpanExporter):
    """Drops every span."""

    def export(self, spans: Any) -> SpanExportResult:
        """Drop the spans."""
        return SpanExportResult.SUCCESS


class _Drop(SimpleSpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        pass


def cost_of_call(cache: SessionCache) -> Callable[[], float]:
    """Return a function that measures the microseconds that the telemetry of one append takes."""
    telemetry = cache._context.telemetry
    if telemetry.is_on:

        def call() -> None:
            telemetry.end_call(telemetry.begin_call("EVALSHA", "messages/append", "session-1"))
            telemetry.count_messages(1)
    else:

        def call() -> None:
            pass

    def measure() -> float:
        began = time.process_time_ns()
        for _ in range(_CALLS):
            call()
        return (time.process_time_ns() - began) / _CALLS / 1000

    return measure


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
    sampled.add_span_processor(_Drop(NoExporter()))
    meters = MeterProvider([InMemoryMetricReader()])
    cases = {
        "off": None,
        "on without calls": Telemetry(sampled, meters, calls=False),
        "on, no span is open": Telemetry(sampled, meters),
        "on, a span that is not sampled is open": Telemetry(TracerProvider(sampler=ALWAYS_OFF), meters),
        "on, a span is open and recorded": Telemetry(sampled, meters),
    }
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        caches = {name: SessionCache.from_url(f"embedded://{folder}", telemetry=one) for name, one in cases.items()}
        for title, make in (
            ("telemetry of one call alone", cost_of_call),
            ("an append, CPU of its thread", append_cost),
        ):
            found: dict[str, list[float]] = {name: [] for name in cases}
            measures = {name: make(cache) for name, cache in caches.items()}
            for _ in range(_ROUNDS):
                for name, measure in measures.items():
                    provider = TracerProvider(sampler=ALWAYS_OFF) if "not sampled" in name else sampled
                    if "open" in name and "no span" not in name:
                        with provider.get_tracer("t").start_as_current_span("parent"):
                            found[name].append(measure())
                    else:
                        found[name].append(measure())
            print(title)
            for name, times in found.items():
                print(f"  {name:<42} least {min(times):7.2f} µs   median {statistics.median(times):7.2f} µs")
        for cache in caches.values():
            cache.close()
    assert trace.get_current_span() is trace.INVALID_SPAN


if __name__ == "__main__":
    main()
