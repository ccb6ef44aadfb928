"""`replay`: conversations from a file, through a fleet of worker processes, and the proof that all arrived."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..errors import InvalidInput
from ..replay.conversations import Conversation, read_conversations
from ..replay.fleet import Report
from ..replay.fleet import replay as run_replay
from ..settings import SessionSettings
from .app import DEFAULT_NAMESPACE, Json, Namespace, Url, app, errors, other_processes, out


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="JSON Lines, plain or .gz, of {id, user_id, messages}.")],
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="How many processes.")] = 4,
    url: Url = "embedded://",
    namespace: Namespace = DEFAULT_NAMESPACE,
    max_messages: Annotated[int | None, typer.Option("--max-messages", min=1, help="Cap of each session.")] = None,
    cap_policy: Annotated[str, typer.Option("--cap-policy", help="oldest, tool_safe or turn.")] = "tool_safe",
    ttl: Annotated[float, typer.Option("--ttl", help="Idle life of each session, in seconds.")] = 3600.0,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Pass over broken lines instead of stopping.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Replay conversations with a fleet of workers, then compare every session with its input."""
    conversations, broken = _read(file, skip_broken)
    if not conversations:
        raise InvalidInput(name="file", detail=f"{file} holds no conversation")
    SessionSettings.of({"cap_policy": cap_policy, "ttl": ttl})
    settings: dict[str, Any] = {"max_messages": max_messages, "cap_policy": cap_policy, "ttl": ttl}
    total = sum(len(one.messages) for one in conversations)
    with shared(url) as url, _progress(total, quiet=as_json) as advance:
        report = run_replay(url, namespace, conversations, workers, settings=settings, on_progress=advance)
    print_report(report, broken, as_json)
    raise typer.Exit(0 if report.is_equal else 1)


def _read(file: Path, skip_broken: bool) -> tuple[list[Conversation], int]:
    conversations: list[Conversation] = []
    broken = 0
    for found in read_conversations(file):
        if isinstance(found, Conversation):
            conversations.append(found)
            continue
        broken += 1
        errors.print(
            f"[bold red]error[/] {escape(str(file))}, line {found.number}: {escape(found.reason)}", soft_wrap=True
        )
        if not skip_broken:
            errors.print("nothing was replayed; --skip-broken passes over such lines")
            raise typer.Exit(2)
    return conversations, broken


@contextmanager
def shared(url: str) -> Iterator[str]:
    """A private embedded server has no name for the workers to share: gives it a folder for as long as it is needed."""
    if url != "embedded://":
        yield other_processes(url)
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="redis-sessions-") as folder:
        from .._embedded.server import EmbeddedServer

        server = EmbeddedServer(folder)
        server.attach()
        try:
            yield f"embedded://{folder}"
        finally:
            server.detach()
            server.wait_until_gone()


@contextmanager
def _progress(total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TextColumn("messages"), TimeElapsedColumn())
    with Progress(*columns, console=errors, disable=quiet) as progress:
        task = progress.add_task("replay", total=total)
        yield lambda done: progress.update(task, completed=done)


def print_report(report: Report, broken: int, as_json: bool) -> None:
    """The summary of a replay, and what differs."""
    if as_json:
        print(json.dumps({**asdict(report), "broken_lines": broken, "equal": report.is_equal}))
        return
    table = Table(show_header=False, box=None)
    rate = report.messages / report.seconds if report.seconds else 0.0
    rows = {
        "sessions": f"{report.sessions:,}",
        "messages": f"{report.messages:,} by {report.workers} workers in {report.seconds:.1f} s ({rate:,.0f}/s)",
        "retained": f"{report.retained:,}, the cap dropped {report.dropped:,}",
        "workers killed": f"{report.killed}",
        "appends repeated": f"{report.repeated}, each recognised and stored once",
        "broken lines": f"{broken}",
        "result": "[bold green]all equal[/]: nothing lost, doubled or reordered"
        if report.is_equal
        else f"[bold red]{len(report.differences)} differences[/]",
    }
    for name, value in rows.items():
        table.add_row(f"[dim]{name}[/]", value)
    out.print(table)
    for difference in report.differences[:20]:
        errors.print(f"[bold red]differs[/] {escape(difference)}", soft_wrap=True)
