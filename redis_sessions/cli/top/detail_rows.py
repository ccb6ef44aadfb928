"""The rows of a session, a tree, the workers, one worker, and the help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

from rich.console import Console
from rich.text import Text

from ...models.fleet import Fleet, FleetSession
from ...models.messages import Message
from ...models.sessions import SessionInfo
from ...models.workers import WorkerInfo
from ..app import count_of, escape_controls, format_span
from ..session_ids import short_ids
from ..show import COLOURS, describe_attempt, format_message
from ..table import Cell, Column, fitted_widths, table_line
from ..tree_lines import describe_child, describe_root, tree_nodes
from ..workers import COLUMNS
from .figures import brief, has_lost_holder, since, until
from .reader import SessionDetail, TreeDetail
from .state import Row, View

_MESSAGE_LINES = 12
"""Lines of a message that are shown."""
_MESSAGE_CHARACTERS = 4000
_WORKER_COLUMNS = (*COLUMNS, Column("agents", least=10))
_CONSOLE = Console(width=200, no_color=True)
"""The console by whose rules texts are wrapped."""
HELP = (
    ("up, down, j, k", "move by one line"),
    ("page up, page down", "move by a page"),
    ("home, end, g, G", "go to the first or the last line"),
    ("Tab", "go to the next section"),
    ("Enter", "open the session, the tree or the worker of the line"),
    ("Esc, q", "go back. In the fleet view q ends the program"),
    ("t", "show the tree of the session"),
    ("w", "show the workers"),
    ("s", "sort the sessions by another column: updated, wait, held, inbox, attempt, spend, deadline"),
    ("/", "show only sessions that contain a text. Enter keeps it, Esc clears it"),
    ("c", "cancel the session and its descendants *"),
    ("r", "retry its run or turn *"),
    ("p", "pause or resume it *"),
    ("x", "release its lease by force *"),
    ("d", "delete it and its descendants *"),
    ("*", "only with --allow-actions, and after a question"),
)
COLUMNS_HELP = (
    ("held", "time since the holder got the lease. '!': the lease ran out, and no worker took over"),
    ("inbox", "messages that wait, of those that may wait"),
    ("try", "attempts at the run or turn, of those that may fail"),
    ("due", "time until the run ends as timed_out"),
    ("spent", "tokens of the session and all below it, or the part of its budget"),
    ("idle", "runs that the living workers of an agent could take now"),
)


def help_rows(width: int) -> list[Row]:
    """Return the rows of the help."""
    rows = [_heading("KEYS"), *_pairs(HELP, width)]
    return [*rows, _heading("COLUMNS"), *_pairs(COLUMNS_HELP, width)]


def worker_rows(fleet: Fleet, width: int | None) -> list[Row]:
    """Return the workers of the fleet."""
    rows: list[list[Cell]] = [_worker_cells(one, fleet.read_at) for one in fleet.workers]
    widths = fitted_widths(_WORKER_COLUMNS, rows, width)
    head = table_line(_WORKER_COLUMNS, widths, [column.head for column in _WORKER_COLUMNS], "bold")
    alive = sum(one.is_alive for one in fleet.workers)
    found = [_heading(f"WORKERS {alive} alive, {len(fleet.workers) - alive} died in the last hour")]
    found += [Row(lambda: head, is_heading=True)] if rows else []
    for one, cells in zip(fleet.workers, rows, strict=True):
        about = partial(_lines, one.owner, f"{', '.join(one.agents)} · holds {count_of(len(one.holding), 'session')}")
        found.append(
            Row(
                partial(table_line, _WORKER_COLUMNS, widths, cells),
                f"worker {one.id}",
                View("worker", one.id),
                about=about,
            )
        )
    return found


def one_worker_rows(fleet: Fleet, id: str, width: int) -> list[Row]:
    """Return a worker and the sessions that it holds."""
    one = next((one for one in fleet.workers if one.id == id), None)
    if one is None:
        return [_heading(f"WORKER {id}"), _line("the worker stopped, or died more than an hour ago")]
    facts = {
        "worker": f"{one.id}, {'alive' if one.is_alive else 'dead'}, silent for {format_span(one.silent_for.total_seconds())}",
        "name": one.owner,
        "process": f"{one.pid} on {one.host}, since {one.started_at:%Y-%m-%d %H:%M:%S} UTC",
        "agents": ", ".join(one.agents),
        "busy": f"{len(one.holding)} of {one.concurrency}",
        "lease ttl": format_span(one.ttl.total_seconds()),
    }
    rows = [_heading(f"WORKER {id}"), *_pairs(list(facts.items()), width), _heading(f"HOLDS {len(one.holding)}")]
    known = {session.id: session for session in fleet.sessions}
    for held in one.holding:
        session = known.get(held)
        status, fence = (None, None) if session is None else (session.status, session.fence)
        more = (
            ""
            if session is None
            else f" {since(session.held_since, fleet.read_at)} {session.task or session.name or ''}"
        )
        text = escape_controls(f"{held}{more}")
        about = partial(_lines, held)
        key = f"session {held}"
        rows.append(Row(partial(_text, text), key, View("session", held), held, status, about, fence=fence))
    return rows


def session_rows(detail: SessionDetail, fleet: Fleet | None, width: int) -> list[Row]:
    """Return a session: what is wrong with it, its facts, its attempts, and its newest messages."""
    info = detail.info
    problems = [] if fleet is None else [one for one in fleet.problems if one.session_id == info.id]
    workers = {} if fleet is None else {one.owner: one for one in fleet.workers}
    seen = None if fleet is None else next((one for one in fleet.sessions if one.id == info.id), None)
    rows = [_heading("SESSION")]
    for one in problems:
        rows += _wrap(Text.assemble(("problem ", "bold red"), escape_controls(f"{one.text} {one.advice}")), width)
    rows += _pairs(list(_session_facts(info, seen, workers).items()), width)
    if info.attempts:
        rows.append(_heading(f"ATTEMPTS THAT FAILED {len(info.attempts)}"))
        for number, attempt in enumerate(info.attempts, 1):
            rows += _wrap(Text(escape_controls(describe_attempt(number, attempt))), width)
    rows.append(_heading(f"MESSAGES, the newest first: {len(detail.messages)} of {info.count:,}"))
    for message in reversed(detail.messages):
        rows += _message_rows(message, width)
    fence = None if info.lease is None else info.lease.fence
    return [
        row if row.is_heading else row._replace(key=f"line {at}", session_id=info.id, status=info.status, fence=fence)
        for at, row in enumerate(rows)
    ]


def _session_facts(info: SessionInfo, seen: FleetSession | None, workers: Mapping[str, WorkerInfo]) -> dict[str, str]:
    now, lease = info.read_at, info.lease
    facts = {
        "id": info.id,
        "status": info.status + (f", {info.reason}" if info.reason else ""),
        "label": info.label or "",
        "agent": info.agent_id or "",
        "answered by": info.answered_by or "",
        "user": info.user_id or "",
        "name": info.name or "",
        "task": info.task or "",
        "parent": info.parent_id or "",
        "root": info.root_id if info.root_id and info.root_id != info.parent_id else "",
        "work": info.work or "",
    }
    if lease is not None:
        left = format_span(lease.expires_in.total_seconds())
        worker = workers.get(lease.owner)
        state = "" if worker is None else ", alive" if worker.is_alive else ", DEAD"
        facts["held by"] = f"{lease.owner}{state}, for {since(lease.held_since, now)}, {left} left, fence {lease.fence}"
        facts["waiters"] = ", ".join(lease.waiters[:5])
    elif seen is not None and seen.holder and seen.lease_expires_at is not None and has_lost_holder(seen):
        facts["held by"] = f"{seen.holder}, whose lease ran out {since(seen.lease_expires_at, now)} ago"
    bound = "" if info.max_attempts is None else f" of {info.max_attempts}"
    facts |= {
        "inbox": f"{info.inbox_size} of {info.max_inbox}",
        "attempt": f"{info.attempt}{bound}" if info.attempt else "",
        "available": f"in {until(info.available_at, now)}" if info.available_at and info.available_at > now else "",
        "deadline": f"in {until(info.run_deadline, now)}" if info.run_deadline else "",
        "spent": _spent(info, seen),
        "messages": f"{info.count:,}, {info.tokens:,} tokens, {info.dropped:,} dropped",
        "updated": f"{since(info.updated_at, now)} ago, created {since(info.created_at, now)} ago",
    }
    return {name: value for name, value in facts.items() if value}


def _spent(info: SessionInfo, seen: FleetSession | None) -> str:
    if not info.spent_tokens and not info.spent_cost and (seen is None or not (seen.token_budget or seen.cost_budget)):
        return ""
    tokens = "" if seen is None or seen.token_budget is None else f" of {seen.token_budget:,}"
    cost = "" if seen is None or seen.cost_budget is None else f" of {seen.cost_budget:,.2f}"
    return f"{info.spent_tokens:,}{tokens} tokens, cost {info.spent_cost:,.4g}{cost}"


def _message_rows(message: Message, width: int) -> Iterator[Row]:
    text = escape_controls(format_message(message)[:_MESSAGE_CHARACTERS], keep="\n")
    head = Text.assemble(
        (f"{message.seq:>5} {message.timestamp:%H:%M:%S} ", "dim"),
        (f"{message.role:<9} ", COLOURS.get(message.role, "")),
    )
    lines = [line for part in text.split("\n") for line in Text(part).wrap(_CONSOLE, max(width - 25, 20))]
    for at, line in enumerate(lines[:_MESSAGE_LINES]):
        line.rstrip()
        yield Row(partial(Text.assemble, head if at == 0 else " " * 25, line, no_wrap=True))
    if len(lines) > _MESSAGE_LINES:
        yield _line(" " * 25 + f"{len(lines) - _MESSAGE_LINES} more lines, see redis-sessions show")


def tree_rows(detail: TreeDetail, view: View, width: int) -> list[Row]:
    """Return the sessions of a tree. The session that it was opened from is marked."""
    info = detail.info
    ids = short_ids([child.id for child in detail.descendants], 20)
    rows = [_heading(f"TREE of {count_of(len(ids) + 1, 'session')}")]
    for guide, _, child in tree_nodes(info, detail.descendants):
        id = info.id if child is None else child.id
        text = describe_root(info) if child is None else describe_child(child, info.read_at, ids[child.id])
        status: str = info.status if child is None else child.status
        if id == view.id:
            text.stylize("underline")
        about = partial(_lines, id, (info.task if child is None else child.task) or "")
        drawn = partial(Text.assemble, (guide, "dim"), text, no_wrap=True)
        lease = (info if child is None else child).lease
        fence = None if lease is None else lease.fence
        rows.append(Row(drawn, f"session {id}", View("session", id), id, status, about, fence=fence))
    return rows


def _worker_cells(one: WorkerInfo, now: datetime) -> list[Cell]:
    state: Cell = ("alive", "green") if one.is_alive else ("dead", "red")
    busy = f"{len(one.holding)}/{one.concurrency}"
    names = (escape_controls(one.owner), escape_controls(", ".join(one.agents)))
    return [one.id, state, brief(one.silent_for.total_seconds()), busy, *names]


def _pairs(facts: Sequence[tuple[str, str]], width: int) -> list[Row]:
    """Return names with their values. A long value goes on below its beginning."""
    indent = max((len(name) for name, _ in facts), default=0) + 2
    rows: list[Row] = []
    for name, value in facts:
        lines = Text(escape_controls(value)).wrap(_CONSOLE, max(width - indent, 20))
        for at, line in enumerate(lines):
            line.rstrip()
            head = (f"{name if at == 0 else '':<{indent}}", "bold")
            rows.append(Row(partial(Text.assemble, head, line, no_wrap=True), key=f"line {name} {at}"))
    return rows


def _wrap(text: Text, width: int) -> list[Row]:
    rows = []
    for line in text.wrap(_CONSOLE, max(width, 20)):
        line.rstrip()
        rows.append(Row(partial(Text.copy, line)))
    return rows


def _lines(*lines: str) -> tuple[str, ...]:
    return lines


def _heading(text: str) -> Row:
    return Row(partial(Text, escape_controls(text), "bold reverse", no_wrap=True), is_heading=True)


def _line(text: str) -> Row:
    return Row(partial(_text, text))


def _text(text: str) -> Text:
    return Text(text, no_wrap=True)
