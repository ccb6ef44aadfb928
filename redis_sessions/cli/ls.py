"""`ls`: which sessions there are."""

from __future__ import annotations

import shlex
from typing import Annotated, cast

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .._core import indexes
from .._core.queries import MOST, Order
from .._core.units import moment_of, whole
from .._sync.cache import SessionCache
from ..models.summaries import SessionSummary
from ..settings import Filters
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Namespace, Url, ago, app, other_processes, out, printable, tell

_COLUMNS = ("session", "status", "kind", "user", "agent", "messages", "updated", "name or task")


@app.command()
def ls(
    user: Annotated[str | None, typer.Option("--user", help="Only this user's.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only this agent's.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Only those with this label.")] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Only those with this tag, and with all given.")
    ] = None,
    kinds: Annotated[list[str] | None, typer.Option("--kind", help="Only these: main, subagent, cron.")] = None,
    active: Annotated[bool, typer.Option("--active", help="Only those that take messages.")] = False,
    order: Annotated[str, typer.Option("--order", help="Newest first by: updated or created.")] = "updated",
    limit: Annotated[int, typer.Option("--limit", help="How many at the most, up to 1000.")] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on where a page ended.")] = None,
    count: Annotated[bool, typer.Option("--count", help="Print only how many there are.")] = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each, instead of a table.")] = False,
) -> None:
    """List sessions, newest first, by who they are of and what they are."""
    whole(limit, "--limit", least=1, most=MOST)
    filters: Filters = {
        "user": user, "agent": agent, "label": label, "tags": tags or None, "kinds": kinds or None,
        "active_only": active, "order": cast("Order", order),
    }  # fmt: skip
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache:
        if count:
            print(cache.count(**filters))
            return
        page = cache.list(limit, cursor, **filters)
        now = cache._calls.run(indexes.clock(cache.namespace))
    if as_json:
        for one in page.items:
            print(one.model_dump_json())
    elif page.items:
        _print_table([_row(one, now) for one in page.items])
    if not page.items:
        tell("no sessions")
    if page.cursor:
        tell(f"more: --cursor {shlex.quote(page.cursor)}")


def _row(one: SessionSummary, now: int) -> list[str]:
    texts = [one.id, one.status, one.kind, one.user_id or "", one.agent_id or "", str(one.count)]
    return [printable(text) for text in [*texts, ago(one.updated_at, moment_of(now)), one.name or one.task or ""]]


def _print_table(rows: list[list[str]]) -> None:
    """In a terminal the last column is cut and an id that is too long is folded; in a pipe a session is a line."""
    console = out if out.is_terminal else Console(width=1000)
    widths = [max(map(cell_len, column)) + 2 for column in zip(_COLUMNS, *rows, strict=True)]
    room = max(console.width - sum(widths[:-1]), len(_COLUMNS[-1])) if out.is_terminal else 80
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(_COLUMNS[0], overflow="fold")
    for name in _COLUMNS[1:-1]:
        table.add_column(name, justify="right" if name == "messages" else "left")
    table.add_column(_COLUMNS[-1], max_width=room)
    for id, *rest in rows:
        table.add_row(Text(id), *[Text(cell, no_wrap=True, overflow="ellipsis") for cell in rest])
    console.print(table)
