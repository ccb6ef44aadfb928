"""Traces and metrics of a cache, by OpenTelemetry: `SessionCache.from_url(url, telemetry=Telemetry())`.

The names are those of the semantic conventions for databases, messaging and generative AI. Attributes have IDs of sessions and
agents, and never the content of a message.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .. import __version__
from ..models.observer import Observer, ServerAddress
from .instruments import Instruments
from .observer import OpenTelemetry, WithoutCalls
from .reference import METRICS, SPANS, SYSTEM

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["METRICS", "SPANS", "Telemetry"]

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
    ) -> None:
        """Take the providers of the traces and metrics.

        Args:
            tracer_provider: makes the spans. Default: the global provider of the process.
            meter_provider: makes the metrics. Default: the global provider of the process.
            calls: record each call to the server. With False only requests, runs and turns, and totals are recorded.

        Raises:
            ModuleNotFoundError: OpenTelemetry is not installed. The error names the extra.
        """
        try:
            import opentelemetry.trace  # noqa: F401
        except ModuleNotFoundError as problem:
            text = f"telemetry needs {problem.name}, which is not installed: pip install 'redis-sessions[otel]'"
            raise ModuleNotFoundError(text, name=problem.name) from None
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._records_calls = calls

    def observe(self, server: ServerAddress) -> Observer:
        """Return the telemetry of one cache."""
        from opentelemetry import metrics, trace

        tracer = trace.get_tracer(SYSTEM, __version__, self._tracer_provider)
        provider = self._meter_provider or metrics.get_meter_provider()
        with _lock:
            if provider not in _instruments:
                _instruments[provider] = Instruments(provider.get_meter(SYSTEM, __version__))
            instruments = _instruments[provider]
        kind = OpenTelemetry if self._records_calls else WithoutCalls
        return kind(tracer, instruments, server)
