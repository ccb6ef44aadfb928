"""What `top` shows of a fleet at one moment, and how fast that changed since the moment before."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .._core import indexes
from .._core.runs import Waiting
from .._core.units import moment_of
from .._sync.cache import SessionCache
from ..models.summaries import SessionSummary
from .app import ago, printable
from .tree import MARKS

_SHOWN = 200  # sessions and leases that are read for a frame
_FAILED = ("failed", "timed_out")


class Frame(NamedTuple):
    """A fleet at one moment of the server."""

    now: datetime
    active: int
    ended: int
    sessions: list[SessionSummary]
    """Those that were updated last."""
    leases: str
    waiting: dict[str, Waiting]
    before: Frame | None
    """The frame before this one, without its own."""

    @property
    def seconds(self) -> float:
        """The time since the frame before."""
        return (self.now - self.before.now).total_seconds() if self.before else 0.0

    def messages(self) -> dict[str, int]:
        """How many messages came since the frame before, for each session of which that can be told."""
        return self._since("last_seq")

    def changes(self) -> dict[str, int]:
        """How many changes of any kind there were."""
        return self._since("rev")

    def _since(self, field: str) -> dict[str, int]:
        if self.before is None:
            return {}
        known = {one.id: int(getattr(one, field)) for one in self.before.sessions}
        return {
            one.id: max(getattr(one, field) - known.get(one.id, 0), 0)
            for one in self.sessions
            if one.id in known or one.created_at >= self.before.now
        }


def read(cache: SessionCache, before: Frame | None) -> Frame:
    """The fleet as it is now: nine round trips, eleven at the most, however many sessions there are."""
    now = cache._calls.run(indexes.clock(cache.namespace))
    active, every = cache.count(active_only=True), cache.count()
    page, leases = cache.list(_SHOWN), cache.leases(_SHOWN)
    return Frame(
        now=moment_of(now),
        active=active,
        ended=max(every - active, 0),
        sessions=page.items,
        leases=f"{len(leases.items)}{' or more' if leases.cursor else ''}",
        waiting=cache._home.queues.waiting(now // 1000),
        before=before and before._replace(before=None),
    )


def drawn(frame: Frame | None, title: str, problem: str, height: int) -> RenderableType:
    """A frame in so many lines, and what is wrong, if something is."""
    lines: list[Text] = [Text(printable(title), style="bold")]
    if problem:
        lines.append(Text(printable(problem), style="bold red"))
    if frame is None:
        return Group(*map(_cut, lines), *([] if problem else [Text("looking …", style="dim")]))
    lines += [*_totals(frame), *_waiting(frame, max(height // 6, 1)), *_failures(frame, max(height // 8, 1))]
    room = max(height - len(lines) - 2, 0)
    return Group(*map(_cut, lines), "", _table(frame, room))


def _totals(frame: Frame) -> list[Text]:
    rates = "rates come with the next frame"
    if frame.seconds > 0:
        messages, changes = sum(frame.messages().values()), sum(frame.changes().values())
        rates = f"{messages / frame.seconds:,.1f} messages/s, {changes / frame.seconds:,.1f} changes/s"
    stored = f"{frame.active:,} active, {frame.ended:,} ended"
    return [Text(f"sessions: {stored} · {rates} · leases held: {frame.leases}")]


def _waiting(frame: Frame, most: int) -> list[Text]:
    found = [(agent, one) for agent, one in frame.waiting.items() if any(one)]
    found.sort(key=lambda pair: (-pair[1].runs, pair[0]))
    lines = [
        Text(f"waiting: {printable(agent)} · {one.runs:,} runs for a worker · {one.workers:,} workers for a run")
        for agent, one in found[:most]
    ]
    return [*lines, Text(f"waiting: {len(found) - most} more agents")] if len(found) > most else lines


def _failures(frame: Frame, most: int) -> list[Text]:
    lines = []
    for one in [one for one in frame.sessions if one.status in _FAILED][:most]:
        about = " · ".join(printable(part) for part in (one.agent_id, one.task or one.name) if part)
        line = f"{one.status}: {printable(one.id)} · {ago(one.updated_at, frame.now)}{about and f' · {about}'}"
        lines.append(Text(line, style="red"))
    return lines


def _table(frame: Frame, room: int) -> Table:
    messages = frame.messages()
    table = Table("session", "status", "user/agent", box=None, pad_edge=False, expand=True)
    for name in ("messages", "msg/s"):
        table.add_column(name, justify="right")
    table.add_column("holder")
    table.add_column("updated", justify="right")
    for column in table.columns:
        column.no_wrap = True
    table.columns[0].ratio = 1
    for one in frame.sessions[:room]:
        rate = f"{messages[one.id] / frame.seconds:.1f}" if frame.seconds > 0 and one.id in messages else ""
        status = Text.from_markup(f"{MARKS[one.status]} {one.status}")
        who = "/".join(part for part in (one.user_id, one.agent_id) if part)
        cells = [_plain(who, 24), Text(f"{one.count:,}"), Text(rate), _plain(one.holder or "", 24)]
        table.add_row(_plain(one.id), status, *cells, ago(one.updated_at, frame.now))
    return table


def _plain(text: str, most: int = 256) -> Text:
    return Text(printable(text[:most]))


def _cut(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "ellipsis"
    return line
