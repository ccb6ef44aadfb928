"""`lease`: find the worker that holds a session's lease, and end the lease if its holder hangs."""

from __future__ import annotations

import json
import shlex
from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from .._core.commands import index_entries
from .._durations import moment_of
from .._sync.api.cache import SessionCache
from ..models.leases import LeaseInfo
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Cursor,
    Json,
    Namespace,
    SafeConsole,
    Url,
    app,
    count_of,
    escape_controls,
    format_span,
    log_audit,
    out,
    print_notice,
    shared_url,
    shorten,
)
from .codec_options import codec_options
from .session_ids import Label, SessionId, find_session

lease = typer.Typer(no_args_is_help=True, help="List and show leases (writer locks), and end a lease by force.")
app.add_typer(lease, name="lease")
_SHOWN_WAITERS = 10
_NUMBERS_WIDTH = 47
"""The width of the columns with numbers, and of the space between columns."""


@lease.command("ls")
def list_leases(
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Leases to print, 1 to 1000.")] = 50,
    cursor: Cursor = None,
    as_json: Json = False,
) -> None:
    """List the leases that are held. The lease that expires first comes first."""
    with SessionCache.from_url(shared_url(url), namespace=namespace, **codec_options()) as cache:
        page = cache.leases(limit, cursor)
        now_us = cache._executor.run(index_entries.server_time(cache.namespace))
    if as_json:
        print(json.dumps({"items": [one.model_dump(mode="json") for one in page.items], "cursor": page.cursor}))
        return
    if not page.items:
        out.print("no lease is held")
    else:
        _print_table(page.items, moment_of(now_us))
    if page.cursor:
        print_notice(f"more: --cursor {shlex.quote(page.cursor)}")


@lease.command("show")
def show_lease(
    id: SessionId = None,
    label: Label = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Show why a session is locked: the holder, the fence, the time left, the waiters and the size of the inbox."""
    with SessionCache.from_url(shared_url(url), namespace=namespace, **codec_options()) as cache:
        info = find_session(cache, id, label).info()
    if as_json:
        print(json.dumps(info.lease and info.lease.model_dump(mode="json")))
        return
    for line in describe_lease(info.id, info.lease, info.inbox_size):
        out.print(Text(line), soft_wrap=True)


@lease.command("release")
def release_lease(
    id: SessionId = None,
    label: Label = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    fence: Annotated[
        int | None,
        typer.Option(
            "--fence", min=1, help="Release only a lease with this fence, 1 or more.", show_default="any fence"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Release a session's lease by force. The server then refuses the holder's writes, and the next waiter gets the lease.

    Exit 1 if no worker holds the lease.
    """
    with SessionCache.from_url(shared_url(url), namespace=namespace, audit=log_audit, **codec_options()) as cache:
        session = find_session(cache, id, label)
        lease = session.lease()
        before = lease.info()
        taken = lease.release(force=True, fence=fence) if before else 0
    if as_json:
        print(json.dumps({"released": before and before.model_dump(mode="json"), "taken": taken}))
    elif before is None:
        out.print(Text(f"no worker holds the lease of {escape_controls(session.id)}"), soft_wrap=True)
    else:
        moved = f"{count_of(taken, 'message')} moved from the inbox to the transcript"
        line = f"released: {escape_controls(before.owner)} held the lease (fence {before.fence}); {moved}"
        out.print(Text(line), soft_wrap=True)
    raise typer.Exit(0 if before else 1)


def describe_lease(id: str, found: LeaseInfo | None, inbox_size: int) -> list[str]:
    """Return the lines that say why a session is locked, or that no worker holds the lease."""
    if found is None:
        lines = [f"no worker holds the lease of {escape_controls(id)}"]
    else:
        time_left = format_span(found.expires_in.total_seconds())
        lines = [
            f"held by {escape_controls(found.owner)} (fence {found.fence}), {time_left} left unless the holder renews the lease"
        ]
        names = ", ".join(escape_controls(one) for one in found.waiters[:_SHOWN_WAITERS])
        more = f" and {len(found.waiters) - _SHOWN_WAITERS} more" if len(found.waiters) > _SHOWN_WAITERS else ""
        lines.append(f"{count_of(len(found.waiters), 'waiter')}{f': {names}{more}' if names else ''}")
    return [*lines, f"{count_of(inbox_size, 'message')} in the inbox"]


def _print_table(leases: list[LeaseInfo], now: datetime) -> None:
    """Print leases. A terminal folds IDs and shortens long names in the middle. In a pipe each lease is one line."""
    ids = [escape_controls(one.session_id) for one in leases]
    owners = [escape_controls(one.owner) for one in leases]
    room = (out.width if out.is_terminal else 1000) - _NUMBERS_WIDTH
    owner_width = max(min(max(map(len, owners)), max(room - max(map(len, ids)), room * 2 // 5)), 8)
    table = Table(box=None, pad_edge=False)
    table.add_column("session", overflow="fold", max_width=max(room - owner_width, 8))
    for name in ("holder", "fence", "held", "left", "waiters", "inbox"):
        table.add_column(name, no_wrap=True, justify="left" if name == "holder" else "right")
    for id, owner, one in zip(ids, owners, leases, strict=True):
        spans = ((now - one.held_since).total_seconds(), one.expires_in.total_seconds())
        numbers = (str(one.fence), *map(format_span, spans), str(len(one.waiters)), str(one.inbox_size))
        table.add_row(Text(id), Text(shorten(owner, owner_width)), *numbers)
    console = out if out.is_terminal else SafeConsole(width=1000)
    console.print(table)
