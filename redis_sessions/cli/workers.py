"""`workers`: list the workers that run, and those that died."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from .._sync.api.cache import SessionCache
from ..models.workers import WorkerInfo
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Cursor,
    Json,
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

_SHOWN_SESSIONS = 3


@app.command()
def workers(
    agent: Annotated[
        str | None, typer.Option("--agent", help="Only workers of this agent.", show_default="all agents")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Workers to print, 1 to 1000.")] = 100,
    cursor: Cursor = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """List the workers that run: where each runs, when it was heard last, and which sessions it holds.

    A worker that died is shown as dead for an hour. The worker that is silent for longest comes first.
    """
    with SessionCache.from_url(shared_url(url), namespace=namespace, **codec_options()) as cache:
        page = cache.workers(agent, limit, cursor)
    if as_json:
        print(json.dumps({"items": [one.model_dump(mode="json") for one in page.items], "cursor": page.cursor}))
        return
    if page.items:
        _print_table(page.items)
    else:
        out.print("no workers")
    if page.cursor:
        print_notice(f"more: --cursor {shlex.quote(page.cursor)}")


def _print_table(found: list[WorkerInfo]) -> None:
    """Print workers. A terminal folds long texts. In a pipe each worker is one line."""
    table = Table(box=None, pad_edge=False)
    for name in ("worker", "state", "heard", "busy"):
        table.add_column(name, no_wrap=True, justify="right" if name == "busy" else "left")
    for name in ("name", "agents", "holds"):
        table.add_column(name, overflow="fold")
    for one in found:
        state = Text("alive", "green") if one.is_alive else Text("dead", "red")
        heard = format_age(one.last_heard_at, one.last_heard_at + one.silent_for)
        busy = f"{len(one.holding)}/{one.concurrency}"
        texts = (_name(one), ", ".join(one.agents), _holds(one))
        table.add_row(one.id, state, heard, busy, *[Text(escape_controls(text)) for text in texts])
    console = out if out.is_terminal else SafeConsole(width=2000)
    console.print(table)


def _name(worker: WorkerInfo) -> str:
    """Return the name that leases show, and where the worker runs if the name does not say it."""
    place = f"{worker.host}:{worker.pid}"
    return place if worker.owner == place else f"{worker.owner} at {place}"


def _holds(worker: WorkerInfo) -> str:
    more = len(worker.holding) - _SHOWN_SESSIONS
    return ", ".join(worker.holding[:_SHOWN_SESSIONS]) + (f" and {more} more" if more > 0 else "")
