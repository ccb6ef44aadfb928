"""`tree`, `spawn`, `cancel`: show a tree of sessions, add a child, and cancel a session with all its descendants."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.text import Text
from rich.tree import Tree

from .._sync.api.cache import SessionCache
from ..errors import InvalidInput
from ..models.leases import LeaseInfo
from ..models.sessions import SessionInfo
from ..models.trees import ChildInfo
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
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
    shared_url,
)
from .codec_options import codec_options
from .session_ids import Label, SessionId, find_session, shift_text, short_ends

MARKS = {
    "active": "[yellow]●[/]", "paused": "[blue]‖[/]", "completed": "[green]✔[/]", "failed": "[red]✘[/]",
    "cancelled": "[magenta]⊘[/]", "timed_out": "[red]⧖[/]", "deleted": "[dim]×[/]",
}  # fmt: skip
_TASK_WIDTH = 60


@app.command()
def tree(
    id: SessionId = None,
    label: Label = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Draw a session with all its descendants: status, task, tokens, age, and the holder of the lease with its age."""
    with SessionCache.from_url(shared_url(url), namespace=namespace, **codec_options()) as cache:
        session = find_session(cache, id, label)
        info, descendants = session.info(), session.children(recursive=True)
    if as_json:
        children = [child.model_dump(mode="json") for child in descendants]
        print(json.dumps({**info.model_dump(mode="json"), "descendants": children}))
    else:
        console = out if out.is_terminal else SafeConsole(width=1000)
        console.print(render_tree(info, descendants))


def render_tree(info: SessionInfo, descendants: list[ChildInfo]) -> Tree:
    """Return the drawing of a session and its descendants, each under its parent."""
    numbers = {child.number for child in descendants}
    age = ((info.finished_at or info.read_at) - info.created_at).total_seconds()
    holder = _holder(info.lease, info.read_at)
    top = Tree(_line(info.status, info.id, "", info.tokens, age, holder, info.reason))
    branches: dict[int, Tree] = {}
    for child, end in zip(descendants, short_ends([child.id for child in descendants]), strict=True):
        parent = branches[child.parent] if child.parent in numbers else top
        runtime = child.runtime.total_seconds() if child.runtime is not None else None
        name = f"{child.agent_id or child.id}{f' ({child.label})' if child.label else ''}"
        holder = _holder(child.lease, info.read_at) if child.is_active else ""
        attempt = f"attempt {child.attempt}" if child.attempt > 1 else ""
        task, tokens, reason = child.task or "", child.tokens, child.reason
        line = _line(child.status, name, task, tokens, runtime, holder, reason, attempt, f"ID …{end}")
        branches[child.number] = parent.add(line)
    return top


def _line(
    status: str, name: str, task: str, tokens: int, seconds: float | None, holder: str, reason: str | None,
    attempt: str = "", id: str = "",
) -> str:  # fmt: skip
    facts = [status, count_of(tokens, "token") if tokens else "", f"{seconds:.1f} s" if seconds is not None else ""]
    facts += [attempt, holder, reason or "", id]
    described = " · ".join(_plain(fact) for fact in facts if fact)
    shown_task = task if len(task) <= _TASK_WIDTH else f"{task[: _TASK_WIDTH - 1]}…"
    return f"{MARKS[status]} [bold]{_plain(name)}[/]{f' {_plain(shown_task)}' if task else ''} [dim]{described}[/]"


def _holder(lease: LeaseInfo | None, now: datetime) -> str:
    """Return the holder of a lease, and the time since the grant."""
    if lease is None:
        return ""
    return f"held by {lease.owner} for {format_span((now - lease.held_since).total_seconds())}"


def _plain(text: str) -> str:
    return escape(escape_controls(text))


@app.command()
def spawn(
    parent: Annotated[
        str | None,
        typer.Argument(help="Session to spawn under: its ID or a short ID.", show_default="none, with --parent-label"),
    ] = None,
    agent: Annotated[
        str | None, typer.Argument(help="Agent whose workers claim the child.", show_default="required")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="Task of the child, for the worker.", show_default="no task")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label", help="Name that is unique among the active sessions of the tree.", show_default="no label"
        ),
    ] = None,
    parent_label: Annotated[
        str | None,
        typer.Option(
            "--parent-label",
            help="Spawn under the session with this label: in the tree of PARENT, or in the namespace without PARENT.",
            show_default="the session with the ID",
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Spawn a child of a session for an agent's workers. Exit 1 if the tree refuses the child."""
    parent, agent = shift_text(parent, agent, parent_label)
    if agent is None:
        raise InvalidInput(name="AGENT", detail="is missing: name the agent whose workers claim the child")
    with SessionCache.from_url(shared_url(url), namespace=namespace, **codec_options()) as cache:
        result = find_session(cache, parent, parent_label).spawn(agent, task=task, label=label)
    if as_json:
        print(json.dumps(result._asdict()))
    else:
        out.print(Text(escape_controls(result.message)), soft_wrap=True)
    raise typer.Exit(0 if result.accepted else 1)


@app.command()
def cancel(
    id: SessionId = None,
    label: Label = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Reason that the session keeps.", show_default="no reason")
    ] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Cancel a session and all its descendants. The server then refuses their writes and spawns."""
    with SessionCache.from_url(shared_url(url), namespace=namespace, audit=log_audit, **codec_options()) as cache:
        session = find_session(cache, id, label)
        session.cancel(reason=reason)
        cancelled = [child.id for child in session.children(recursive=True) if child.status == "cancelled"]
    if as_json:
        print(json.dumps({"cancelled": [session.id, *cancelled]}))
    else:
        line = f"cancelled: {escape_controls(session.id)} and {count_of(len(cancelled), 'descendant')}"
        out.print(Text(line), soft_wrap=True)
