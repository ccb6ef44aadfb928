"""`tree`, `spawn`, `cancel`, `sweep`: sessions with all that are below them, as they stand, and what an operator does to them."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer
from rich.markup import escape
from rich.tree import Tree

from .._sync.cache import SessionCache
from ..models.sessions import SessionInfo
from ..models.trees import ChildInfo
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Json, Namespace, Url, app, other_processes, out, printable, seconds

Id = Annotated[str, typer.Argument(help="The session.")]
MARKS = {
    "active": "[yellow]●[/]", "paused": "[blue]‖[/]", "completed": "[green]✔[/]", "failed": "[red]✘[/]",
    "cancelled": "[magenta]⊘[/]", "timed_out": "[red]⧖[/]", "deleted": "[dim]×[/]",
}  # fmt: skip


@app.command()
def tree(id: Id, url: Url = DEFAULT_URL, namespace: Namespace = DEFAULT_NAMESPACE, as_json: Json = False) -> None:
    """Draw a session and all below it: status, task, tokens, age, who works on it."""
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache:
        session = cache.session(id)
        info, below = session.info(), session.children(below=True)
    if as_json:
        children = [child.model_dump(mode="json") for child in below]
        print(json.dumps({**info.model_dump(mode="json"), "below": children}))
    else:
        out.print(drawn(info, below))


def drawn(info: SessionInfo, below: list[ChildInfo]) -> Tree:
    """A session and all below it, by their parents."""
    numbers = {child.number for child in below}
    age = ((info.finished_at or info.read_at) - info.created_at).total_seconds()
    holder = info.lease.owner if info.lease else None
    top = Tree(_line(info.status, info.id, "", info.tokens, age, holder, info.reason))
    places: dict[int, Tree] = {}
    for child in below:
        place = places[child.parent] if child.parent in numbers else top
        runtime = child.runtime.total_seconds() if child.runtime is not None else None
        name = f"{child.agent_id or child.id}{f' ({child.label})' if child.label else ''}"
        holder = child.lease.owner if child.lease is not None and child.is_active else None
        again = f"attempt {child.attempt}" if child.attempt > 1 else ""
        line = _line(child.status, name, child.task or "", child.tokens, runtime, holder, child.reason, again)
        places[child.number] = place.add(line)
    return top


def _line(
    status: str, name: str, task: str, tokens: int, seconds: float | None, holder: str | None, reason: str | None,
    again: str = "",
) -> str:  # fmt: skip
    facts = [status, f"{tokens} tokens" if tokens else "", f"{seconds:.1f} s" if seconds is not None else "", again]
    facts += [f"held by {holder}" if holder else "", reason or ""]
    told = " · ".join(_plain(fact) for fact in facts if fact)
    return f"{MARKS[status]} [bold]{_plain(name)}[/] {_plain(task[:60])} [dim]{told}[/]"


def _plain(text: str) -> str:
    return escape(printable(text))


@app.command()
def spawn(
    parent: Annotated[str, typer.Argument(help="The session to spawn under.")],
    agent: Annotated[str, typer.Argument(help="The agent whose workers are to claim it.")],
    task: Annotated[str | None, typer.Option("--task", help="What it is to do.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="A name of its own in the tree.")] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Spawn a child of a session for an agent's workers. Exit 1 when the tree has no room for it."""
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache:
        result = cache.session(parent).spawn(agent, task=task, label=label)
    print(json.dumps(result._asdict()) if as_json else result.message)
    raise typer.Exit(0 if result.accepted else 1)


@app.command()
def cancel(
    id: Id,
    reason: Annotated[str | None, typer.Option("--reason", help="Why.")] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Cancel a session and all below it: none of them writes or spawns from then on."""
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache:
        session = cache.session(id)
        session.cancel(reason=reason)
        cancelled = [child.id for child in session.children(below=True) if child.status == "cancelled"]
    if as_json:
        print(json.dumps({"cancelled": [id, *cancelled]}))
    else:
        out.print(f"cancelled: {escape(id)}, and {len(cancelled)} below it", soft_wrap=True)


@app.command()
def sweep(
    every: Annotated[str | None, typer.Option("--every", help="Go on, once in so many seconds: 1s, 0.5.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only this agent's runs.")] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Look after runs whose worker died or whose time is over. Workers do so, too, while they wait."""
    pause = None if every is None else seconds(every, "--every", 0.05, 86_400)
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache:
        while True:
            looked = cache.sweep(agent)
            if as_json:
                print(json.dumps({"looked_after": looked}), flush=True)
            elif looked or pause is None:
                out.print(f"{looked} runs and sessions looked after")
            if pause is None:
                return
            try:
                time.sleep(pause)
            except KeyboardInterrupt:
                return
