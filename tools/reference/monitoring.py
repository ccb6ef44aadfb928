"""Write the reference of what monitoring sees: metrics, spans and log events."""

from __future__ import annotations

import logging

from redis_sessions._log_events import EVENTS, LOG_FIELDS
from redis_sessions.prometheus import METRICS as FLEET_METRICS
from redis_sessions.telemetry import METRICS, SPANS

from .text import code, table


def fleet_metrics() -> str:
    """Return the table of the metrics for Prometheus."""
    rows = [
        [code(one.exported), one.kind, ", ".join(map(code, one.labels)) or "–", one.meaning] for one in FLEET_METRICS
    ]
    return table(["metric", "type", "labels", "meaning"], rows)


def process_metrics() -> str:
    """Return the table of the metrics of OpenTelemetry."""
    kinds = {"histogram": "histogram", "counter": "counter", "total": "counter"}
    rows = [
        [code(one.name), kinds[one.kind], code(one.unit), one.attributes or "–", one.meaning] for one in METRICS
    ]  # fmt: skip
    return table(["metric", "instrument", "unit", "attributes", "meaning"], rows)


def span_list() -> str:
    """Return the table of the spans."""
    rows = [
        [", ".join(map(code, name.split(", "))), kind, attributes, meaning] for name, kind, meaning, attributes in SPANS
    ]
    return table(["span", "kind", "attributes", "meaning"], rows)


def log_events() -> str:
    """Return the table of the events, by logger."""
    events = sorted(EVENTS.values(), key=lambda one: one.logger != "redis_sessions.worker")
    rows = [
        [
            code(one.name),
            code(one.logger),
            logging.getLevelName(one.level),
            ", ".join(map(code, one.fields)),
            one.meaning,
        ]
        for one in events
    ]
    return table(["event", "logger", "level", "fields", "meaning"], rows)


def log_fields() -> str:
    """Return the table of the fields of events."""
    return table(["field", "meaning"], [[code(name), meaning] for name, meaning in LOG_FIELDS.items()])
