"""`workers`: list the workers that run, and those that died."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Annotated

import typer

from ..models.workers import WorkerInfo
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Cursor,
    Json,
    Namespace,
    Url,
    Wide,
    app,
    escape_controls,
    format_age,
    is_cut,
    out,
    print_line,
    print_notice,
    wide_console,
)
from .connect import open_cache, place_of
from .session_ids import short_ids
from .table import Cell, Column, table_lines

_SHOWN_SESSIONS = 3
_SHORT_ID_ROOM = 12
_AGE_WIDTH = 7
"""The width of an age below a hundred hours, so that columns stay where they are."""
COLUMNS = (
    Column("worker"),
    Column("state"),
    Column("heard", is_right=True),
    Column("busy", is_right=True),
    Column("name", least=16),
)


@app.command()
def workers(
    agent: Annotated[
        str | None, typer.Option("--agent", help="Only workers of this agent.", show_default="all agents")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Workers to print, 1 to 1000.")] = 100,
    cursor: Cursor = None,
    wide: Wide = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """List the workers that run: where each runs, when it was heard last, and which sessions it holds.

    A worker that died is shown as dead for an hour. The worker that is silent for longest comes first.
    """
    with open_cache(url, namespace) as cache:
        page = cache.workers(agent, limit, cursor)
        place = place_of(cache)
    if as_json:
        print(json.dumps({"items": [one.model_dump(mode="json") for one in page.items], "cursor": page.cursor}))
        return
    if page.items:
        _print_table(page.items, wide)
    else:
        print_line(f"no workers{'' if agent is None else f' of agent {escape_controls(agent)}'} in {place}")
    if page.cursor:
        print_notice(f"more: --cursor {shlex.quote(page.cursor)}")


def _print_table(found: list[WorkerInfo], wide: bool) -> None:
    """Print workers. On a narrow terminal the agents and the sessions of each stand on a second line."""
    if not is_cut(wide):
        rows = [[*_row(one), ", ".join(map(escape_controls, one.agents)), _holds(one.holding)] for one in found]
        for line in table_lines((*COLUMNS, Column("agents"), Column("holds")), rows, None):
            wide_console(wide).print(line)
        return
    ids = short_ids({id for one in found for id in one.holding}, _SHORT_ID_ROOM)
    details = []
    for one in found:
        agents = ", ".join(map(escape_controls, one.agents))
        details.append(f"{agents} · holds {_holds([ids[id] for id in one.holding])}" if one.holding else agents)
    for line in table_lines(COLUMNS, [_row(one) for one in found], out.width, details):
        out.print(line)


def _row(one: WorkerInfo) -> list[Cell]:
    state = ("alive", "green") if one.is_alive else ("dead", "red")
    heard = f"{format_age(one.last_heard_at, one.last_heard_at + one.silent_for):>{_AGE_WIDTH}}"
    return [one.id, state, heard, f"{len(one.holding)}/{one.concurrency}", escape_controls(_name(one))]


def _name(worker: WorkerInfo) -> str:
    """Return the name that leases show, and where the worker runs if the name does not say it."""
    place = f"{worker.host}:{worker.pid}"
    return place if worker.owner == place else f"{worker.owner} at {place}"


def _holds(ids: Sequence[str]) -> str:
    more = len(ids) - _SHOWN_SESSIONS
    return ", ".join(map(escape_controls, ids[:_SHOWN_SESSIONS])) + (f" and {more} more" if more > 0 else "")
