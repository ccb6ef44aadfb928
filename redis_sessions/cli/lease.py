"""`lease`: find the worker that holds a session's lease, and end the lease if its holder hangs."""

from __future__ import annotations

import json
import shlex
from datetime import datetime
from typing import Annotated

import typer

from ..models.leases import LeaseInfo
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Cursor,
    Json,
    Namespace,
    Url,
    Wide,
    app,
    count_of,
    escape_controls,
    format_span,
    is_cut,
    log_audit,
    out,
    print_line,
    print_notice,
    wide_console,
)
from .connect import open_cache, place_of, server_now
from .session_ids import Label, SessionId, find_session, short_ids
from .table import Column, table_lines

lease = typer.Typer(no_args_is_help=True, help="List and show leases (writer locks), and end a lease by force.")
app.add_typer(lease, name="lease")
_SHOWN_WAITERS = 10
_OTHERS_WIDTH = 66
"""The width of the columns without the ID, if the name of the holder is short."""
_SPAN_WIDTH = 7
"""The width of the longest time, such as 119.9 s, so that columns stay where they are."""
_COLUMNS = (
    Column("session"),
    Column("holder", least=12),
    *(Column(name, is_right=True) for name in ("fence", "held", "left", "waiters", "inbox")),
)


@lease.command("ls")
def list_leases(
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Leases to print, 1 to 1000.")] = 50,
    cursor: Cursor = None,
    wide: Wide = False,
    as_json: Json = False,
) -> None:
    """List the leases that are held. The lease that expires first comes first."""
    with open_cache(url, namespace) as cache:
        page = cache.leases(limit, cursor)
        now, place = server_now(cache), place_of(cache)
    if as_json:
        print(json.dumps({"items": [one.model_dump(mode="json") for one in page.items], "cursor": page.cursor}))
        return
    if not page.items:
        print_line(f"no lease is held in {place}")
    else:
        _print_table(page.items, now, wide)
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
    with open_cache(url, namespace) as cache:
        info = find_session(cache, id, label).info()
    if as_json:
        print(json.dumps(info.lease and info.lease.model_dump(mode="json")))
        return
    for line in describe_lease(info.id, info.lease, info.inbox_size):
        print_line(line)


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
    with open_cache(url, namespace, audit=log_audit) as cache:
        session = find_session(cache, id, label)
        lease = session.lease()
        before = lease.info()
        # The fence of the holder that is reported, so that the lease of a later holder is never taken.
        taken = lease.release(force=True, fence=fence or before.fence) if before else 0
    if as_json:
        print(json.dumps({"released": before and before.model_dump(mode="json"), "taken": taken}))
    elif before is None:
        print_line(f"no worker holds the lease of {escape_controls(session.id)}")
    else:
        moved = f"{count_of(taken, 'message')} moved from the inbox to the transcript"
        line = f"released: {escape_controls(before.owner)} held the lease (fence {before.fence}); {moved}"
        print_line(line)
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


def _print_table(leases: list[LeaseInfo], now: datetime, wide: bool) -> None:
    """Print leases, each in one line. A narrow terminal gets short IDs, and names of holders without their middle."""
    room = out.width if is_cut(wide) else None
    ids = short_ids([one.session_id for one in leases], 256 if room is None else out.width - _OTHERS_WIDTH)
    rows = []
    for one in leases:
        spans = ((now - one.held_since).total_seconds(), one.expires_in.total_seconds())
        numbers = (
            str(one.fence),
            *(f"{format_span(span):>{_SPAN_WIDTH}}" for span in spans),
            str(len(one.waiters)),
            str(one.inbox_size),
        )
        rows.append([ids[one.session_id], escape_controls(one.owner), *numbers])
    for line in table_lines(_COLUMNS, rows, room):
        wide_console(wide).print(line)
