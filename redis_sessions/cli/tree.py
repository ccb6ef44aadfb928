"""`tree`, `spawn`, `cancel`: show a tree of sessions, add a child, and cancel a session with all its descendants."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text
from rich.tree import Tree

from .._sync.api.cache import SessionCache
from ..models.sessions import SessionInfo
from ..models.trees import ChildInfo
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Json,
    Namespace,
    SessionId,
    Url,
    app,
    count_of,
    escape_controls,
    out,
    shared_url,
)

MARKS = {
    "active": "[yellow]●[/]", "paused": "[blue]‖[/]", "completed": "[green]✔[/]", "failed": "[red]✘[/]",
    "cancelled": "[magenta]⊘[/]", "timed_out": "[red]⧖[/]", "deleted": "[dim]×[/]",
}  # fmt: skip
_TASK_WIDTH = 60


@app.command()
def tree(
    id: SessionId, url: Url = DEFAULT_URL, namespace: Namespace = DEFAULT_NAMESPACE, as_json: Json = False
) -> None:
    """Draw a session with all its descendants: status, task, tokens, age, and the holder of the lease."""
    with SessionCache.from_url(shared_url(url), namespace=namespace) as cache:
        session = cache.session(id)
        info, descendants = session.info(), session.children(recursive=True)
    if as_json:
        children = [child.model_dump(mode="json") for child in descendants]
        print(json.dumps({**info.model_dump(mode="json"), "descendants": children}))
    else:
        console = out if out.is_terminal else Console(width=1000)
        console.print(render_tree(info, descendants))


def render_tree(info: SessionInfo, descendants: list[ChildInfo]) -> Tree:
    """Return the drawing of a session and its descendants, each under its parent."""
    numbers = {child.number for child in descendants}
    age = ((info.finished_at or info.read_at) - info.created_at).total_seconds()
    holder = info.lease.owner if info.lease else None
    top = Tree(_line(info.status, info.id, "", info.tokens, age, holder, info.reason))
    branches: dict[int, Tree] = {}
    for child in descendants:
        parent = branches[child.parent] if child.parent in numbers else top
        runtime = child.runtime.total_seconds() if child.runtime is not None else None
        name = f"{child.agent_id or child.id}{f' ({child.label})' if child.label else ''}"
        holder = child.lease.owner if child.lease is not None and child.is_active else None
        attempt = f"attempt {child.attempt}" if child.attempt > 1 else ""
        line = _line(child.status, name, child.task or "", child.tokens, runtime, holder, child.reason, attempt)
        branches[child.number] = parent.add(line)
    return top


def _line(
    status: str, name: str, task: str, tokens: int, seconds: float | None, holder: str | None, reason: str | None,
    attempt: str = "",
) -> str:  # fmt: skip
    facts = [status, count_of(tokens, "token") if tokens else "", f"{seconds:.1f} s" if seconds is not None else ""]
    facts += [attempt, f"held by {holder}" if holder else "", reason or ""]
    described = " · ".join(_plain(fact) for fact in facts if fact)
    shown_task = task if len(task) <= _TASK_WIDTH else f"{task[: _TASK_WIDTH - 1]}…"
    return f"{MARKS[status]} [bold]{_plain(name)}[/]{f' {_plain(shown_task)}' if task else ''} [dim]{described}[/]"


def _plain(text: str) -> str:
    return escape(escape_controls(text))


@app.command()
def spawn(
    parent: Annotated[str, typer.Argument(help="ID of the session to spawn under.", show_default=False)],
    agent: Annotated[str, typer.Argument(help="Agent whose workers claim the child.", show_default=False)],
    task: Annotated[
        str | None, typer.Option("--task", help="Task of the child, for the worker.", show_default="no task")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label", help="Name that is unique among the active sessions of the tree.", show_default="no label"
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Spawn a child of a session for an agent's workers. Exit 1 if the tree refuses the child."""
    with SessionCache.from_url(shared_url(url), namespace=namespace) as cache:
        result = cache.session(parent).spawn(agent, task=task, label=label)
    if as_json:
        print(json.dumps(result._asdict()))
    else:
        out.print(Text(escape_controls(result.message)), soft_wrap=True)
    raise typer.Exit(0 if result.accepted else 1)


@app.command()
def cancel(
    id: SessionId,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Reason that the session keeps.", show_default="no reason")
    ] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Cancel a session and all its descendants. The server then refuses their writes and spawns."""
    with SessionCache.from_url(shared_url(url), namespace=namespace) as cache:
        session = cache.session(id)
        session.cancel(reason=reason)
        cancelled = [child.id for child in session.children(recursive=True) if child.status == "cancelled"]
    if as_json:
        print(json.dumps({"cancelled": [id, *cancelled]}))
    else:
        line = f"cancelled: {escape_controls(id)} and {count_of(len(cancelled), 'descendant')}"
        out.print(Text(line), soft_wrap=True)
