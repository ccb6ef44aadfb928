"""`demo`: run a small fleet on shared sessions, kill workers, and check that nothing is lost, doubled or left unanswered."""

from __future__ import annotations

import json
import secrets
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer
from rich.console import Group
from rich.live import Live
from rich.markup import escape

from .._sync.api.cache import SessionCache
from ..errors import InvalidInput
from ..models.sessions import SessionInfo
from ..models.trees import ChildInfo
from .app import DEFAULT_NAMESPACE, Json, Namespace, Url, app, out
from .demo_chat import run_chat
from .demos.conversations import made_up_conversations
from .demos.fleet import replay_conversations
from .demos.forest import grow
from .replay import print_report, shared_server, show_bar
from .show import show
from .tree_lines import draw_tree

_KILLS = 2
"""Processes that the demo of a tree kills."""


@app.command()
def demo(
    url: Url = "embedded://",
    namespace: Namespace = DEFAULT_NAMESPACE,
    workers: Annotated[int, typer.Option("--workers", min=2, max=64, help="Worker processes, 2 to 64.")] = 4,
    as_tree: Annotated[
        bool,
        typer.Option(
            "--tree",
            help="Grow a tree of agents with three levels instead, and kill two workers. Default: replay conversations.",
        ),
    ] = False,
    as_chat: Annotated[
        bool,
        typer.Option(
            "--chat",
            help="Run a chat service instead: clients ask, and workers are killed, stopped and ended. Default: see --tree.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a small fleet on shared sessions, kill a worker, and check every message. Exit 1 if a message is wrong."""
    if as_tree and as_chat:
        raise InvalidInput(name="--chat", detail="and --tree exclude each other: give one of them")
    if as_tree:
        _grow_tree(url, namespace, workers, as_json)
    if as_chat:
        run_chat(url, namespace, workers, as_json)
    conversations = list(made_up_conversations())
    total = sum(len(one.messages) for one in conversations)
    with shared_server(url) as url:
        with SessionCache.from_url(url, namespace=namespace) as cache:
            cache.get("demo")  # an embedded server starts before the clock does
            where = cache.where.split("?")[0]
        if not as_json:
            out.print(
                f"{workers} processes write {len(conversations)} conversations on [bold]{escape(where)}[/]. Different"
                f" processes write consecutive messages of a session. After {total // 2} messages one process gets SIGKILL,"
                " and the others finish its work."
            )
        with show_bar(total, quiet=as_json) as advance:
            report = replay_conversations(
                url, namespace, conversations, workers, kill_one_after=total // 2, on_progress=advance
            )
        print_report(report, 0, as_json)
        if not as_json:
            out.print("\nThe end of one session, as [bold]redis-sessions show demo-01 --limit 4[/] prints it:")
            show("demo-01", url, namespace, limit=4)
    raise typer.Exit(0 if report.is_equal and report.killed == 1 else 1)


def _grow_tree(url: str, namespace: str, workers: int, as_json: bool) -> NoReturn:
    root = f"demo-{secrets.token_hex(3)}"
    screen = nullcontext() if as_json else Live(console=out, refresh_per_second=8)
    with shared_server(url) as url, screen as live:

        def show_tree(info: SessionInfo, descendants: list[ChildInfo]) -> None:
            if live is not None:
                live.update(Group(*draw_tree(info, descendants, out, out.width)))

        harvest = grow(url, namespace, root, workers, _KILLS, show_tree)
    if not as_json and not out.is_terminal:
        out.print()
    if as_json:
        print(json.dumps({**asdict(harvest), "complete": harvest.is_complete}))
    else:
        colour = "green" if harvest.is_complete else "red"
        out.print(
            f"{harvest.sessions} sessions by {workers} processes in {harvest.seconds:.1f} s. {harvest.killed} processes got"
            f" SIGKILL, and {harvest.claimed_again} runs were claimed again: [bold {colour}]{harvest.completed} completed[/],"
            " each once."
        )
    raise typer.Exit(0 if harvest.is_complete else 1)
