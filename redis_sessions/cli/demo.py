"""`demo`: the main job on one screen. A fleet shares sessions, one worker is killed, nothing is lost or doubled."""

from __future__ import annotations

import json
import secrets
from contextlib import nullcontext
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer
from rich.live import Live

from .._sync.cache import SessionCache
from ..models.sessions import SessionInfo
from ..models.trees import ChildInfo
from ..replay.conversations import synthetic
from ..replay.fleet import replay as run_replay
from ..replay.forest import grow
from .app import DEFAULT_NAMESPACE, Json, Namespace, Url, app, out
from .replay import _progress, print_report, shared
from .show import show
from .tree import drawn


@app.command()
def demo(
    url: Url = "embedded://",
    namespace: Namespace = DEFAULT_NAMESPACE,
    workers: Annotated[int, typer.Option("--workers", min=2, max=64, help="How many processes.")] = 4,
    as_tree: Annotated[
        bool, typer.Option("--tree", help="Show a tree of agents instead: three levels, two workers killed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a small fleet on shared sessions, kill one worker in the middle, and check every message."""
    if as_tree:
        _grow(url, namespace, workers, as_json)
    conversations = list(synthetic())
    total = sum(len(one.messages) for one in conversations)
    with shared(url) as url:
        with SessionCache.from_url(url, namespace=namespace) as cache:
            cache.get("demo")  # starts an embedded server before the clock does
            where = cache.where
        if not as_json:
            out.print(
                f"{workers} processes write {len(conversations)} conversations on [bold]{where.split('?')[0]}[/]; consecutive"
                f" messages of one session come from different processes.\nAfter {total // 2} messages one process gets"
                " SIGKILL; the others finish its work.",
                soft_wrap=True,
            )
        with _progress(total, quiet=as_json) as advance:
            report = run_replay(url, namespace, conversations, workers, kill_one_after=total // 2, on_progress=advance)
        print_report(report, 0, as_json)
        if not as_json:
            out.print("\nThe end of one of them, as [bold]redis-sessions show demo-01 --limit 4[/] prints it:")
            show("demo-01", url, namespace, limit=4)
    raise typer.Exit(0 if report.is_equal and report.killed == 1 else 1)


def _grow(url: str, namespace: str, workers: int, as_json: bool) -> NoReturn:
    root = f"demo-{secrets.token_hex(3)}"
    screen = nullcontext() if as_json else Live(console=out, refresh_per_second=8)
    with shared(url) as url, screen as live:

        def show_tree(info: SessionInfo, below: list[ChildInfo]) -> None:
            if live is not None:
                live.update(drawn(info, below))

        harvest = grow(url, namespace, root, workers, 2, show_tree)
    if not as_json and not out.is_terminal:
        out.print()
    if as_json:
        print(json.dumps({**asdict(harvest), "complete": harvest.is_complete}))
    else:
        colour = "green" if harvest.is_complete else "red"
        out.print(
            f"{harvest.sessions} sessions by {workers} processes in {harvest.seconds:.1f} s; {harvest.killed} processes got"
            f" SIGKILL, {harvest.again} runs were claimed again: [bold {colour}]{harvest.completed} completed[/], each once.",
            soft_wrap=True,
        )
    raise typer.Exit(0 if harvest.is_complete else 1)
