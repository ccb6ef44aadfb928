"""`ls`: list sessions."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, cast

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .._core.commands import index_entries
from .._core.commands.list_query import MAX_PAGE_SESSIONS, Order
from .._durations import moment_of, whole
from .._sync.api.cache import SessionCache
from ..models.summaries import SessionSummary
from ..settings import Filters
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Cursor,
    Namespace,
    SafeConsole,
    Url,
    app,
    escape_controls,
    format_age,
    out,
    print_notice,
    shared_url,
)
from .codec_options import codec_options

_COLUMNS = ("session", "status", "kind", "user", "agent", "messages", "updated", "name or task")
_OPTIONAL = ("kind", "messages", "name or task", "agent", "user")
"""Columns that a narrow terminal leaves out, in this order."""
_LEAST_WIDTHS = {"session": 36, "name or task": 12, "user": 10, "agent": 10}
"""The width that a column needs, if its texts are wider: a terminal folds the IDs of sessions, and shortens the other texts."""


@app.command()
def ls(
    user: Annotated[
        str | None, typer.Option("--user", help="Only sessions of this user.", show_default="all users")
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", help="Only sessions of this agent.", show_default="all agents")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Only sessions with this label.", show_default="any label")
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option(
            "--tag", help="Only sessions with this tag. Repeat the option for several tags.", show_default="any tags"
        ),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            help="Only sessions of this kind: main, subagent or cron. Repeat the option for several kinds.",
            show_default="all kinds",
        ),
    ] = None,
    active_only: Annotated[
        bool, typer.Option("--active-only", help="Only sessions that take messages. Default: all sessions.")
    ] = False,
    order: Annotated[
        str, typer.Option("--order", help="Time to sort by, newest first: updated or created.")
    ] = "updated",
    limit: Annotated[int, typer.Option("--limit", help="Sessions to print, 1 to 1000.")] = 50,
    cursor: Cursor = None,
    count: Annotated[
        bool, typer.Option("--count", help="Print only the number of sessions. Default: the sessions.")
    ] = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON for each session. Default: a table.")
    ] = False,
) -> None:
    """List sessions, newest first. Filters combine."""
    whole(limit, "--limit", minimum=1, maximum=MAX_PAGE_SESSIONS)
    filters: Filters = {
        "user": user, "agent": agent, "label": label, "tags": tags or None, "kinds": kinds or None,
        "active_only": active_only, "order": cast("Order", order),
    }  # fmt: skip
    with SessionCache.from_url(shared_url(url), namespace=namespace, **codec_options()) as cache:
        if count:
            print(cache.count(**filters))
            return
        page = cache.list(limit, cursor, **filters)
        now_us = cache._executor.run(index_entries.server_time(cache.namespace))
    if as_json:
        for one in page.items:
            print(json.dumps(one.model_dump(mode="json")))
    elif page.items:
        _print_table([_row(one, now_us) for one in page.items])
    if not page.items:
        print_notice("no sessions")
    if page.cursor:
        print_notice(f"more: --cursor {shlex.quote(page.cursor)}")


def _row(one: SessionSummary, now_us: int) -> list[str]:
    texts = [one.id, one.status, one.kind, one.user_id or "", one.agent_id or "", str(one.count)]
    age = format_age(one.updated_at, moment_of(now_us))
    return [escape_controls(text) for text in [*texts, age, one.name or one.task or ""]]


def _print_table(rows: list[list[str]]) -> None:
    """Print rows. A terminal folds and shortens texts, and leaves out columns. In a pipe each session is one line."""
    if not out.is_terminal:
        _print_columns(
            SafeConsole(width=1000), rows, {name: _width(rows, name) for name in _COLUMNS} | {_COLUMNS[-1]: 80}
        )
        return
    columns, left_out = _fitting_columns(rows, out.width)
    widths = {name: _least_width(rows, name) for name in columns}
    spare = out.width - sum(width + 2 for width in widths.values()) + 2
    for name in ("user", "agent", "session", "name or task"):
        if name in widths:
            more = min(spare, _width(rows, name) - widths[name])
            widths[name], spare = widths[name] + more, spare - more
    _print_columns(out, rows, widths)
    if left_out:
        print_notice(f"no room for: {', '.join(left_out)} (--json prints all fields)")


def _print_columns(console: Console, rows: list[list[str]], widths: dict[str, int]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, width in widths.items():
        if name == "session":
            table.add_column(name, overflow="fold", width=width)
        else:
            table.add_column(name, justify="right" if name == "messages" else "left", max_width=width)
    for row in rows:
        cells = dict(zip(_COLUMNS, row, strict=True))
        others = [Text(cells[name], no_wrap=True, overflow="ellipsis") for name in widths if name != "session"]
        table.add_row(Text(cells["session"]), *others)
    console.print(table)


def _fitting_columns(rows: list[list[str]], room: int) -> tuple[list[str], list[str]]:
    """Return the columns that fit, and the columns with values that do not."""
    columns, left_out = list(_COLUMNS), []
    is_empty = {name: not any(row[_COLUMNS.index(name)] for row in rows) for name in _OPTIONAL}
    for name in sorted(_OPTIONAL, key=lambda name: not is_empty[name]):
        if sum(_least_width(rows, one) + 2 for one in columns) - 2 <= room:
            break
        columns.remove(name)
        if not is_empty[name]:
            left_out.append(name)
    return columns, left_out


def _least_width(rows: list[list[str]], name: str) -> int:
    width = _width(rows, name)
    return min(width, _LEAST_WIDTHS.get(name, width))


def _width(rows: list[list[str]], name: str) -> int:
    at = _COLUMNS.index(name)
    return max(cell_len(text) for text in (name, *[row[at] for row in rows]))
