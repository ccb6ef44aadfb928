"""The drawing of a tree of sessions, line by line, for a terminal of any width."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from rich.console import Console
from rich.text import Text

from ..models.leases import LeaseInfo
from ..models.sessions import SessionInfo
from ..models.trees import ChildInfo
from .app import count_of, cut, escape_controls, format_span
from .session_ids import short_ids
from .statuses import SIGNS, STYLES

_TASK_WIDTH = 60
_LEAST_WIDTH = 40
"""Columns that a line has behind its guides, also in a deep tree on a narrow terminal."""
_SHORT_ID_ROOM = 24


def draw_tree(info: SessionInfo, descendants: list[ChildInfo], console: Console, room: int | None) -> Iterator[Text]:
    """Yield the lines of a session and its descendants. `room`: columns of the screen. None: one line for each session, uncut."""
    ids = [child.id for child in descendants]
    shown = short_ids(ids, _SHORT_ID_ROOM) if room is not None else {id: escape_controls(id) for id in ids}
    for guide, rest, text in _nodes(info, descendants, shown):
        width = None if room is None else max(room - max(len(guide), len(rest)), _LEAST_WIDTH)
        for at, line in enumerate([text] if width is None else text.wrap(console, width)):
            line.rstrip()
            yield Text.assemble((guide if at == 0 else rest, "dim"), line, no_wrap=True)


def tree_nodes(info: SessionInfo, descendants: list[ChildInfo]) -> Iterator[tuple[str, str, ChildInfo | None]]:
    """Yield the guide before each session, the guide before its further lines, and the session: None for the first one."""
    numbers = {child.number for child in descendants}
    below: dict[int | None, list[ChildInfo]] = {}
    for child in descendants:
        below.setdefault(child.parent if child.parent in numbers else None, []).append(child)
    yield "", "│ " if descendants else "  ", None
    stack = [("", one, at == 0) for at, one in enumerate(reversed(below.get(None, [])))]
    while stack:
        prefix, child, is_last = stack.pop()
        rest = prefix + ("   " if is_last else "│  ")
        children = below.get(child.number, [])
        yield prefix + ("└─ " if is_last else "├─ "), rest + ("│ " if children else "  "), child
        stack += [(rest, one, at == 0) for at, one in enumerate(reversed(children))]


def _nodes(
    info: SessionInfo, descendants: list[ChildInfo], shown: Mapping[str, str]
) -> Iterator[tuple[str, str, Text]]:
    for guide, rest, child in tree_nodes(info, descendants):
        yield (
            guide,
            rest,
            describe_root(info) if child is None else describe_child(child, info.read_at, shown[child.id]),
        )


def describe_root(info: SessionInfo) -> Text:
    """Return the first session of a tree: its whole ID, and its facts."""
    age = ((info.finished_at or info.read_at) - info.created_at).total_seconds()
    label = f" ({info.label})" if info.label else ""
    facts = [_tokens(info.tokens), format_span(age), _holder(info.lease, info.read_at), info.reason or ""]
    return _line(info.status, f"{info.id}{label}", "", facts)


def describe_child(child: ChildInfo, now: datetime, id: str) -> Text:
    """Return a descendant: its agent, its label and its task, and its facts."""
    name = f"{child.agent_id or 'no agent'}{f' ({child.label})' if child.label else ''}"
    facts = [
        child.work if child.is_active and child.work not in (None, "running") else "",
        _tokens(child.tokens),
        format_span(child.runtime.total_seconds()) if child.runtime is not None else "",
        f"attempt {child.attempt}" if child.attempt > 1 else "",
        _holder(child.lease, now) if child.is_active else "",
        child.reason or "",
    ]
    line = _line(child.status, name, child.task or "", [one or "" for one in facts])
    return line.append(f" · ID {id}", "dim")


def _line(status: str, name: str, task: str, facts: list[str]) -> Text:
    described = " · ".join(escape_controls(fact) for fact in [status, *facts] if fact)
    shown_task = f" {cut(escape_controls(task), _TASK_WIDTH)}" if task else ""
    return Text.assemble(
        (SIGNS[status], STYLES[status]), " ", (escape_controls(name), "bold"), shown_task, " ", (described, "dim")
    )


def _tokens(count: int) -> str:
    return count_of(count, "token") if count else ""


def _holder(lease: LeaseInfo | None, now: datetime) -> str:
    """Return the holder of a lease, and the time since the grant."""
    if lease is None:
        return ""
    return f"held by {lease.owner} for {format_span((now - lease.held_since).total_seconds())}"
