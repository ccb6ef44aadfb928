"""One frame of `top`: the state of a fleet at one moment, and the rates since the frame before."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .._core.commands import index_entries
from .._core.commands.run_queues import QueueSizes
from .._durations import moment_of
from .._sync.api.cache import SessionCache
from ..models.summaries import SessionSummary
from .app import count_of, escape_controls, format_age, shorten
from .tree import MARKS

_MAX_READ = 200
"""Sessions and leases that are read for a frame."""
_OPEN = ("active", "paused")
_FAILED = ("failed", "timed_out")
_ID_END = 8
"""Characters of the end of an ID that are shown, because the IDs of one tree and agent differ at their ends only."""
_GAP = 1
"""Columns of space between two table columns."""


class Frame(NamedTuple):
    """A fleet at one moment of the server."""

    now: datetime
    active: int
    ended: int
    sessions: list[SessionSummary]
    """The sessions that changed last."""
    leases: str
    queues: dict[str, QueueSizes]
    before: Frame | None
    """The frame before, without its own `before`."""

    @property
    def seconds(self) -> float:
        """The time since the frame before; 0.0 for the first frame."""
        return (self.now - self.before.now).total_seconds() if self.before else 0.0

    def messages(self) -> dict[str, int]:
        """Return the number of new messages of each session that both frames know, or that is new."""
        return self._since("last_seq")

    def changes(self) -> dict[str, int]:
        """Return the number of changes of any kind, in the same way."""
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


def read_frame(cache: SessionCache, before: Frame | None) -> Frame:
    """Read the state of the fleet. Cost: nine to eleven round trips, however many sessions there are."""
    now_us = cache._executor.run(index_entries.server_time(cache.namespace))
    active, every = cache.count(active_only=True), cache.count()
    page, leases = cache.list(_MAX_READ), cache.leases(_MAX_READ)
    return Frame(
        now=moment_of(now_us),
        active=active,
        ended=max(every - active, 0),
        sessions=page.items,
        leases=f"{len(leases.items)}{' or more' if leases.cursor else ''}",
        queues=cache._context.run_queues.queue_sizes(now_us // 1000),
        before=before and before._replace(before=None),
    )


def render_frame(frame: Frame | None, title: str, problem: str, width: int, height: int) -> RenderableType:
    """Return a frame for a screen of a width and height. `problem`: an error to show above the frame, or ''."""
    lines: list[Text] = [Text(escape_controls(title), style="bold")]
    if problem:
        lines.append(Text(escape_controls(problem), style="bold red"))
    if frame is None:
        return Group(*map(_cut, lines), *([] if problem else [Text("reading …", style="dim")]))
    lines += [*_totals(frame), *_queues(frame, max(height // 6, 1)), *_failures(frame, max(height // 8, 1))]
    rows = max(height - len(lines) - 2, 0)
    return Group(*map(_cut, lines), "", _table(frame, width, rows))


def _totals(frame: Frame) -> list[Text]:
    rates = "the next frame has rates"
    if frame.seconds > 0:
        messages, changes = sum(frame.messages().values()), sum(frame.changes().values())
        rates = f"{messages / frame.seconds:,.1f} messages/s, {changes / frame.seconds:,.1f} changes/s"
    stored = f"{frame.active:,} active, {frame.ended:,} ended"
    return [Text(f"sessions: {stored} · leases: {frame.leases} · {rates}")]


def _queues(frame: Frame, max_lines: int) -> list[Text]:
    found = [(agent, one) for agent, one in frame.queues.items() if any(one)]
    found.sort(key=lambda pair: (-pair[1].runs, pair[0]))
    lines = [
        Text(f"queue {escape_controls(agent)}: {count_of(one.runs, 'run')} · {count_of(one.workers, 'idle worker')}")
        for agent, one in found[:max_lines]
    ]
    return [*lines, Text(f"queues of {len(found) - max_lines} more agents")] if len(found) > max_lines else lines


def _failures(frame: Frame, max_lines: int) -> list[Text]:
    lines = []
    for one in [one for one in frame.sessions if one.status in _FAILED][:max_lines]:
        facts = [one.agent_id, one.task or one.name]
        described = "".join(f" · {escape_controls(fact)}" for fact in facts if fact)
        line = f"{one.status}: {escape_controls(one.id)} · {format_age(one.updated_at, frame.now)}{described}"
        lines.append(Text(line, style="red"))
    return lines


def _table(frame: Frame, width: int, rows: int) -> Table:
    """Return the table of sessions. The columns of names share the room that the other columns leave."""
    messages = frame.messages()
    shown = frame.sessions[:rows]
    names = [[_name(one.id), _name(_user_and_agent(one)), _name(_holder(one))] for one in shown]
    others = [
        [
            f"● {one.status}",
            f"{one.count:,}",
            f"{messages[one.id] / frame.seconds:.1f}" if frame.seconds > 0 and one.id in messages else "",
            format_age(one.updated_at, frame.now),
        ]
        for one in shown
    ]
    heads = ("status", "messages", "msg/s", "updated")
    taken = sum(max(map(cell_len, column)) for column in zip(heads, *others, strict=True)) + 6 * _GAP
    widths = _share([*zip(("session", "user/agent", "holder"), *names, strict=True)], width - taken)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for head in ("session", "status", "user/agent", "messages", "msg/s", "holder", "updated"):
        justify = "right" if head in ("messages", "msg/s", "updated") else "left"
        table.add_column(head, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for one, (id, who, holder), (_, count, rate, age) in zip(shown, names, others, strict=True):
        status = Text.from_markup(f"{MARKS[one.status]} {one.status}")
        shown_id = Text(shorten(id, widths[0], _ID_END))
        shown_who, shown_holder = Text(shorten(who, widths[1])), Text(shorten(holder, widths[2]))
        table.add_row(shown_id, status, shown_who, Text(count), Text(rate), shown_holder, age)
    return table


def _share(columns: list[tuple[str, ...]], room: int) -> list[int]:
    """Return the widths of three columns: as wide as their texts, else half of the room and a quarter of the room each."""
    wanted = [max(map(len, column)) for column in columns]
    if sum(wanted) <= room:
        return wanted
    sides = [min(width, max(room // 4, 8)) for width in wanted[1:]]
    first = min(wanted[0], max(room - sum(sides), 8))
    spare = max(room - first - sum(sides), 0)
    second = min(wanted[1], sides[0] + spare)
    return [first, second, min(wanted[2], max(room - first - second, sides[1]))]


def _user_and_agent(one: SessionSummary) -> str:
    return "/".join(part for part in (one.user_id, one.agent_id) if part)


def _holder(one: SessionSummary) -> str:
    return one.holder or "" if one.status in _OPEN else ""  # a run that ended keeps the name of its last holder


def _name(text: str) -> str:
    return escape_controls(text[:256])


def _cut(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "ellipsis"
    return line
