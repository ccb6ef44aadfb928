"""Traces and metrics of a cache, by OpenTelemetry: `SessionCache.from_url(url, telemetry=Telemetry())`.

The names are those of the semantic conventions for databases, messaging and generative AI. Attributes have IDs of sessions and
agents, and never the content of a message.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .. import __version__
from .._durations import Duration, milliseconds
from .._extras import import_extra
from ..models.observer import Observer, ServerAddress
from .instruments import Instruments
from .observer import OpenTelemetry, WithoutCalls
from .reference import METRICS, SPANS, SYSTEM

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["METRICS", "SPANS", "Telemetry"]


class _Global:
    """The global provider of the process, before and after it is set. What was made before passes its values on."""


_GLOBAL = _Global()
_instruments: WeakKeyDictionary[Any, Instruments] = WeakKeyDictionary()
_lock = threading.Lock()


class Telemetry:
    """OpenTelemetry for the caches that are made with it. Without an SDK in the process it records nothing."""

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        calls: bool = True,
        call_spans_over: Duration = 0,
    ) -> None:
        """Take the providers of the traces and metrics.

        A call to the server has a span only inside of another span that is recorded.

        Args:
            tracer_provider: makes the spans. Default: the global provider of the process.
            meter_provider: makes the metrics. Default: the global provider of the process.
            calls: record each call to the server. With False only requests, runs and turns, and totals are recorded.
            call_spans_over: the least duration of calls that have a span, 0 s to 1 h, such as "10ms". Calls that fail have one
                in each case. The metric counts all calls. Default: each call has a span.

        Raises:
            InvalidInput: `call_spans_over` is not valid.
            ModuleNotFoundError: OpenTelemetry is not installed. The error names the extra.
        """
        import_extra("opentelemetry.trace", "telemetry", "otel")
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._records_calls = calls
        self._call_spans_over = (
            milliseconds(call_spans_over, "call_spans_over", minimum=0, maximum=3_600_000, bounds="0 s to 1 h") / 1000
        )

    def observe(self, server: ServerAddress) -> Observer:
        """Return the telemetry of one cache."""
        from opentelemetry import metrics, trace

        tracer = trace.get_tracer(SYSTEM, __version__, self._tracer_provider)
        current = metrics.get_meter_provider()
        provider = self._meter_provider or current
        with _lock:
            key = _GLOBAL if provider is current and current not in _instruments else provider
            if key not in _instruments:
                _instruments[key] = Instruments(provider.get_meter(SYSTEM, __version__))
            instruments = _instruments[key]
        kind = OpenTelemetry if self._records_calls else WithoutCalls
        return kind(tracer, instruments, server, self._call_spans_over)
