"""`demo`: the main job on one screen. A fleet shares sessions, one worker is killed, nothing is lost or doubled."""

from __future__ import annotations

from typing import Annotated

import typer

from .._sync.cache import SessionCache
from ..replay.conversations import synthetic
from ..replay.fleet import replay as run_replay
from .app import DEFAULT_NAMESPACE, Json, Namespace, Url, app, out
from .replay import _progress, print_report, shared
from .show import show


@app.command()
def demo(
    url: Url = "embedded://",
    namespace: Namespace = DEFAULT_NAMESPACE,
    workers: Annotated[int, typer.Option("--workers", min=2, max=64, help="How many processes.")] = 4,
    as_json: Json = False,
) -> None:
    """Run a small fleet on shared sessions, kill one worker in the middle, and check every message."""
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
