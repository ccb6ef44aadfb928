"""The instruments of one provider of metrics."""

from __future__ import annotations

import threading
from typing import Any

from .reference import METRICS


class Total:
    """A number that only grows. A counter of OpenTelemetry reads it when metrics are collected, so that adding costs little."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value = 0

    def add(self, number: int) -> None:
        """Add to the number."""
        with self._lock:
            self._value += number

    def observe(self, options: Any) -> list[Any]:
        """Return the number as an observation."""
        from opentelemetry.metrics import Observation

        return [Observation(self._value)]


class Instruments:
    """The instruments of one provider, which all caches of the process share."""

    def __init__(self, meter: Any) -> None:
        self.by_name: dict[str, Any] = {}
        self.totals: dict[str, Total] = {}
        for one in METRICS:
            if one.kind == "total":
                self.totals[one.name] = total = Total()
                meter.create_observable_counter(one.name, [total.observe], one.unit, one.meaning)
            elif one.kind == "counter":
                self.by_name[one.name] = meter.create_counter(one.name, one.unit, one.meaning)
            else:
                self.by_name[one.name] = meter.create_histogram(
                    one.name, one.unit, one.meaning, explicit_bucket_boundaries_advisory=list(one.buckets)
                )
