"""`lease`: who writes which session, and an end to it where a holder hangs."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .._sync.cache import SessionCache
from ..models.leases import LeaseInfo
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Json, Namespace, Url, app, other_processes, out

lease = typer.Typer(no_args_is_help=True, help="Look at leases (writer locks), and end one by force.")
app.add_typer(lease, name="lease")
Id = Annotated[str, typer.Argument(help="The session.")]


@lease.command("ls")
def list_leases(
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at the most.")] = 50,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on where a page ended.")] = None,
    as_json: Json = False,
) -> None:
    """List leases that are held, those that run out first before others."""
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache:
        page = cache.leases(limit, cursor)
    if as_json:
        print(json.dumps({"items": [one.model_dump(mode="json") for one in page.items], "cursor": page.cursor}))
        return
    if not page.items:
        out.print("no lease is held")
    else:
        table = Table("session", "holder", "fence", "expires in", "in line", "inbox", box=None)
        for one in page.items:
            table.add_row(
                escape(one.session_id),
                escape(one.owner),
                str(one.fence),
                _left(one),
                str(len(one.line)),
                str(one.inbox),
            )
        out.print(table)
    if page.cursor:
        out.print(f"more: --cursor '{page.cursor}'")


@lease.command("show")
def show_lease(id: Id, url: Url = DEFAULT_URL, namespace: Namespace = DEFAULT_NAMESPACE, as_json: Json = False) -> None:
    """Show who holds a session's lease, who waits for it, and how much is in the inbox."""
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache:
        info = cache.session(id).info()
    if as_json:
        print(json.dumps(info.lease and info.lease.model_dump(mode="json")))
        return
    out.print(told(info.lease) if info.lease else f"nobody holds the lease on {escape(id)}")
    if info.inbox:
        out.print(f"{info.inbox} messages in the inbox")


@lease.command("release")
def release_lease(
    id: Id,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    fence: Annotated[int | None, typer.Option("--fence", min=1, help="Only if the lease has this fence.")] = None,
    as_json: Json = False,
) -> None:
    """End a session's lease whoever holds it. Its holder's writes are refused from then on, and the next in line has it.

    Exit 1 when nobody holds it.
    """
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache:
        lease = cache.session(id).lease()
        before = lease.info()
        taken = lease.release(force=True, fence=fence) if before else 0
    if as_json:
        print(json.dumps({"released": before and before.model_dump(mode="json"), "taken": taken}))
    elif before is None:
        out.print(f"nobody holds the lease on {escape(id)}")
    else:
        out.print(
            f"released: {escape(before.owner)} held it (fence {before.fence}); {taken} messages taken from the inbox"
        )
    raise typer.Exit(0 if before else 1)


def told(found: LeaseInfo) -> str:
    """A lease in a line or two."""
    left = (
        f"{_left(found)} left unless renewed"
        if found.expires_in.total_seconds() > 0
        else f"{_left(found)}, not taken over"
    )
    lines = [f"held by [bold]{escape(found.owner)}[/] (fence {found.fence}), {left}"]
    if found.line:
        lines.append(
            f"{len(found.line)} in line: {escape(', '.join(found.line[:10]))}{' …' if len(found.line) > 10 else ''}"
        )
    return "\n".join(lines)


def _left(found: LeaseInfo) -> str:
    seconds = found.expires_in.total_seconds()
    return f"{seconds:.1f} s" if seconds > 0 else f"ran out {-seconds:.1f} s ago"
