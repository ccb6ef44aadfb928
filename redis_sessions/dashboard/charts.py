"""Charts of the last hour, drawn by the server as SVG, each with its figures as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from markupsafe import Markup, escape

from ..models.fleet import FleetSample

_WIDTH, _HEIGHT = 320, 90
_LEFT, _BOTTOM, _TOP = 40, 74, 10
_POINTS = 120
"""Points of a line. Samples between two of them are one point with the largest value."""
_ROW = timedelta(minutes=5)


class Line(NamedTuple):
    """One line of a chart."""

    name: str
    last: str
    """The newest value."""


class Row(NamedTuple):
    """A row of the figures: the largest values of five minutes."""

    at: str
    values: list[str]


class Chart(NamedTuple):
    """A chart as a page shows it."""

    name: str
    title: str
    unit: str
    svg: Markup
    lines: list[Line]
    rows: list[Row]
    is_empty: bool
    """True if no line has a value."""


class _Plan(NamedTuple):
    name: str
    title: str
    unit: str
    lines: tuple[tuple[str, Callable[[FleetSample], float | None]], ...]


_PLANS = (
    _Plan(
        "throughput", "Throughput", "a second",
        (("messages", lambda one: one.messages_per_second), ("ended runs", lambda one: one.ended_per_second)),
    ),
    _Plan(
        "depth", "Queue depth", "runs and turns",
        (("queued", lambda one: one.queued), ("running", lambda one: one.running)),
    ),
    _Plan(
        "wait", "Wait before a claim", "seconds",
        (("median", lambda one: one.wait_p50), ("95th percentile", lambda one: one.wait_p95)),
    ),
    _Plan(
        "handling", "Handling", "seconds",
        (("median", lambda one: one.handling_p50), ("95th percentile", lambda one: one.handling_p95)),
    ),
)  # fmt: skip


def draw_charts(samples: Sequence[FleetSample]) -> list[Chart]:
    """Return the charts of throughput, queue depth, wait and handling times."""
    return [_draw(plan, samples) for plan in _PLANS]


def _draw(plan: _Plan, samples: Sequence[FleetSample]) -> Chart:
    series = [[(one.at, read(one)) for one in samples] for _, read in plan.lines]
    known = [[(at, value) for at, value in points if value is not None] for points in series]
    top = _nice_top(max([value for points in known for _, value in points], default=0.0))
    lines = [
        Line(name, _figure(points[-1][1]) if points else "–")
        for (name, _), points in zip(plan.lines, known, strict=True)
    ]
    return Chart(
        plan.name, plan.title, plan.unit, _svg(plan, known, samples, top), lines, _rows(series), not any(known)
    )


def _svg(plan: _Plan, series: list[list[tuple[datetime, float]]], samples: Sequence[FleetSample], top: float) -> Markup:
    """Return the drawing. A screen reader reads one sentence for it."""
    label = f"{plan.title}, {plan.unit}: " + ", ".join(
        f"{name} now {_figure(points[-1][1])}, at most {_figure(max(value for _, value in points))}"
        if points
        else f"no {name}"
        for (name, _), points in zip(plan.lines, series, strict=True)
    )
    parts = [Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(_WIDTH, _HEIGHT, label)]
    for share, text in ((0.0, "0"), (0.5, _figure(top / 2)), (1.0, _figure(top))):
        y = _BOTTOM - share * (_BOTTOM - _TOP)
        line = '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
        parts.append(Markup(line).format(_LEFT, _WIDTH, y, y))
        parts.append(
            Markup('<text x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(_LEFT - 4, y + 3, escape(text))
        )
    if samples:
        first, last = samples[0].at, samples[-1].at
        for x, anchor, at in ((_LEFT, "start", first), (_WIDTH, "end", last)):
            parts.append(
                Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, _HEIGHT - 4, anchor, f"{at:%H:%M}")
            )
        for number, points in enumerate(series):
            parts.append(_polyline(number, points, first, last, top))
    return Markup("").join([*parts, Markup("</svg>")])


def _polyline(number: int, points: list[tuple[datetime, float]], first: datetime, last: datetime, top: float) -> Markup:
    total = max((last - first).total_seconds(), 1e-9)
    columns: dict[int, float] = {}
    for at, value in points:
        column = int((at - first).total_seconds() / total * (_POINTS - 1))
        columns[column] = max(columns.get(column, value), value)
    step = (_WIDTH - _LEFT) / (_POINTS - 1)
    places = " ".join(
        f"{_LEFT + column * step:.1f},{_BOTTOM - value / top * (_BOTTOM - _TOP):.1f}"
        for column, value in sorted(columns.items())
    )
    return Markup('<polyline class="l{}" points="{}"/>').format(number, places) if places else Markup("")


def _rows(series: list[list[tuple[datetime, float | None]]]) -> list[Row]:
    """Return the largest value of each line for each five minutes, the newest first."""
    buckets: dict[int, list[float | None]] = {}
    seconds = int(_ROW.total_seconds())
    for number, points in enumerate(series):
        for at, value in points:
            row = buckets.setdefault(int(at.timestamp()) // seconds, [None] * len(series))
            if value is not None:
                row[number] = max(row[number] or 0.0, value)
    return [
        Row(f"{datetime.fromtimestamp((bucket + 1) * seconds, tz=UTC):%H:%M}", list(map(_figure, row)))
        for bucket, row in sorted(buckets.items(), reverse=True)
    ]


def _nice_top(value: float) -> float:
    """Return the next round number: 1, 2 or 5 times a power of ten."""
    top = 1.0
    while top < value:
        top *= 10
    return next((one for one in (top / 5, top / 2) if value <= one and top > 1), top)


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
