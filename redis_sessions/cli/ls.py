"""`ls`: list sessions."""

from __future__ import annotations

import json
import shlex
from datetime import datetime
from typing import Annotated, cast

import typer

from .._core.commands.list_query import MAX_PAGE_SESSIONS, Order
from .._durations import whole
from ..models.summaries import SessionSummary
from ..settings import Filters
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Cursor,
    Namespace,
    Url,
    Wide,
    app,
    escape_controls,
    format_age,
    is_cut,
    out,
    print_notice,
    wide_console,
)
from .connect import open_cache, place_of, server_now
from .session_ids import short_ids
from .statuses import STYLES
from .table import Cell, Column, table_lines, total_width, widths_of

_COLUMNS = (
    Column("session"),
    Column("status"),
    Column("kind"),
    Column("user", least=8),
    Column("agent", least=8),
    Column("messages", is_right=True),
    Column("updated", is_right=True),
)
_MORE_COLUMNS = (Column("label"), Column("name or task", keeps_end=False))
"""The columns that a narrow terminal prints on a line of their own."""
_NAME_WIDTH = 80
"""Characters of a name or task that a wide table shows."""
_OTHERS_WIDTH = 60
"""The width of the columns without the ID, if the names of user and agent are short."""


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
    wide: Wide = False,
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
    with open_cache(url, namespace) as cache:
        if count:
            total = cache.count(**filters)
            print(json.dumps({"count": total}) if as_json else total)
            return
        page = cache.list(limit, cursor, **filters)
        now, place = server_now(cache), place_of(cache)
    if as_json:
        for one in page.items:
            print(json.dumps(one.model_dump(mode="json")))
    elif page.items:
        _print_table(page.items, now, wide)
    if not page.items:
        print_notice(f"no {'matching ' if _is_filtered(filters) else ''}sessions in {place}")
    if page.cursor:
        print_notice(f"more: --cursor {shlex.quote(page.cursor)}")


def _is_filtered(filters: Filters) -> bool:
    return any(value for name, value in filters.items() if name != "order")


def _print_table(sessions: list[SessionSummary], now: datetime, wide: bool) -> None:
    """Print sessions, each in one line. On a narrow terminal the label and the name, or the task, come on a second line."""
    ids = {one.id: escape_controls(one.id) for one in sessions}
    rows = [[*_row(one, ids[one.id], now), _plain(one.label), _plain(_name(one))[:_NAME_WIDTH]] for one in sessions]
    columns: tuple[Column, ...] = _COLUMNS + _MORE_COLUMNS
    if not is_cut(wide) or total_width(widths_of(columns, rows)) <= out.width:
        for line in table_lines(columns, rows, None):
            wide_console(wide).print(line)
        return
    ids = short_ids([one.id for one in sessions], out.width - _OTHERS_WIDTH)
    rows = [_row(one, ids[one.id], now) for one in sessions]
    details = [
        " · ".join(part for part in (one.label and f"label {_plain(one.label)}", _plain(_name(one))) if part)
        for one in sessions
    ]
    for line in table_lines(_COLUMNS, rows, out.width, details):
        out.print(line)


def _row(one: SessionSummary, id: str, now: datetime) -> list[Cell]:
    status: Cell = (one.status, STYLES[one.status])
    names = (_plain(one.user_id), _plain(one.agent_id))
    return [id, status, one.kind, *names, f"{one.count:,}", format_age(one.updated_at, now)]


def _name(one: SessionSummary) -> str:
    return one.name or one.task or ""


def _plain(text: str | None) -> str:
    return escape_controls(text or "")
