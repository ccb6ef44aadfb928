"""`tree`, `spawn`, `cancel`: show a tree of sessions, add a child, and cancel a session with all its descendants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from .._sync.api.session import Session
from ..errors import InvalidInput, SessionsError
from ..models.trees import ChildInfo
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Json,
    Namespace,
    Url,
    Wide,
    app,
    count_of,
    describe_error,
    escape_controls,
    is_cut,
    log_audit,
    out,
    print_line,
    print_notice,
    wide_console,
)
from .connect import open_cache
from .session_ids import Label, SessionId, find_session, shift_text
from .tree_lines import draw_tree


@app.command()
def tree(
    id: SessionId = None,
    label: Label = None,
    wide: Wide = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Draw a session with all its descendants: status, task, tokens, age, and the holder of the lease with its age."""
    with open_cache(url, namespace) as cache:
        session = find_session(cache, id, label)
        info, descendants = session.info(), session.children(recursive=True)
    if as_json:
        children = [child.model_dump(mode="json") for child in descendants]
        print(json.dumps({**info.model_dump(mode="json"), "descendants": children}))
        return
    console = wide_console(wide)
    for line in draw_tree(info, descendants, console, out.width if is_cut(wide) else None):
        console.print(line)


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
    with open_cache(url, namespace) as cache:
        result = find_session(cache, parent, parent_label).spawn(agent, task=task, label=label)
    if as_json:
        print(json.dumps(result._asdict()))
    else:
        print_line(escape_controls(result.message))
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
    with open_cache(url, namespace, audit=log_audit) as cache:
        session = find_session(cache, id, label)
        session.cancel(reason=reason)
        found = find_descendants(session)
    cancelled = None if found is None else [child.id for child in found if child.status == "cancelled"]
    if as_json:
        print(json.dumps({"cancelled": [session.id, *(cancelled or ())]}))
    else:
        print_line(f"cancelled: {name_tree(session, cancelled)}")


def find_descendants(session: Session) -> list[ChildInfo] | None:
    """Return the descendants of a session. If they cannot be listed, say so and return None: an order must not fail for that."""
    try:
        return session.children(recursive=True)
    except SessionsError as problem:
        print_notice(f"the descendants cannot be listed: {describe_error(problem)}")
        return None


def name_tree(session: Session, descendants: Sequence[object] | None) -> str:
    """Return the ID of a session, and how many descendants an order is for."""
    more = "its descendants" if descendants is None else count_of(len(descendants), "descendant")
    return f"{escape_controls(session.id)} and {more}"
