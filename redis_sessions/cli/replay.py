"""`replay`: append conversations of a file with a fleet of worker processes, and check that every message is stored once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..errors import InvalidInput
from ..settings import SessionSettings
from .app import (
    DEFAULT_NAMESPACE,
    Json,
    Namespace,
    Url,
    app,
    count_of,
    errors,
    escape_controls,
    out,
    parse_duration,
    print_notice,
    shared_url,
)
from .demos.conversations import Conversation, read_conversations
from .demos.fleet import Report, replay_conversations

_MAX_SHOWN_DIFFERENCES = 20


@app.command()
def replay(
    file: Annotated[
        Path,
        typer.Argument(help="JSON Lines, plain or .gz, of {id, user_id, messages}.", show_default=False),
    ],
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Worker processes, 1 to 64.")] = 4,
    url: Url = "embedded://",
    namespace: Namespace = DEFAULT_NAMESPACE,
    max_messages: Annotated[
        int | None,
        typer.Option(
            "--max-messages", min=1, help="Messages that a session retains, 1 or more.", show_default="no cap"
        ),
    ] = None,
    cap_policy: Annotated[
        str, typer.Option("--cap-policy", help="First message after a trim: oldest (any), tool_safe or turn.")
    ] = "tool_safe",
    ttl: Annotated[
        str, typer.Option("--ttl", help="Idle life of each session: a duration such as 90s, 30m or 7d.")
    ] = "1h",
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Skip lines that are not valid. Default: stop at the first such line.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Replay conversations with a fleet of workers, then compare every session with its input. Exit 1 if a session differs."""
    seconds = parse_duration(ttl, "--ttl")
    SessionSettings.of({"cap_policy": cap_policy, "ttl": seconds})
    conversations, broken = _read(file, skip_broken)
    if not conversations:
        raise InvalidInput(name="FILE", detail=f"{file} must hold at least one conversation, got none")
    settings: dict[str, Any] = {"max_messages": max_messages, "cap_policy": cap_policy, "ttl": seconds}
    total = sum(len(one.messages) for one in conversations)
    with shared_server(url) as url, show_bar(total, quiet=as_json) as advance:
        report = replay_conversations(url, namespace, conversations, workers, settings=settings, on_progress=advance)
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
        print_notice(f"error {escape_controls(str(file))}, line {found.number}: {escape_controls(found.reason)}")
        if not skip_broken:
            print_notice("nothing was replayed; --skip-broken skips such lines")
            raise typer.Exit(2)
    return conversations, broken


@contextmanager
def shared_server(url: str) -> Iterator[str]:
    """Yield a URL that worker processes can share. A private embedded server gets a folder while the block lasts."""
    if url != "embedded://":
        yield shared_url(url)
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
def show_bar(total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show a bar of the messages that are stored, on standard error."""
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TextColumn("messages"), TimeElapsedColumn())
    with Progress(*columns, console=errors, disable=quiet) as progress:
        task = progress.add_task("replay", total=total)
        yield lambda done: progress.update(task, completed=done)


def print_report(report: Report, broken: int, as_json: bool) -> None:
    """Print the summary of a replay, and the differences."""
    if as_json:
        print(json.dumps({**asdict(report), "broken_lines": broken, "equal": report.is_equal}))
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    rate = report.messages / report.seconds if report.seconds else 0.0
    written = f"{report.messages:,} by {count_of(report.workers, 'worker')} in {report.seconds:.1f} s ({rate:,.0f}/s)"
    rows = {
        "sessions": f"{report.sessions:,}",
        "messages": written,
        "retained": f"{report.retained:,}, and the cap dropped {report.dropped:,}",
        "workers killed": f"{report.killed}",
        "repeated appends": f"{report.repeated}, each recognised and stored once",
        "broken lines": f"{broken}",
        "result": "[bold green]all equal[/]: nothing lost, doubled or reordered"
        if report.is_equal
        else f"[bold red]{count_of(len(report.differences), 'difference')}[/]",
    }
    for name, value in rows.items():
        table.add_row(f"[dim]{name}[/]", value)
    out.print(table)
    for difference in report.differences[:_MAX_SHOWN_DIFFERENCES]:
        print_notice(f"differs: {escape_controls(difference)}")
