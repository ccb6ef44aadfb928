"""`pause`, `resume`, `request-cancel`, `retry`, `delete`: steer a session, or remove it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .._sync.api.cache import SessionCache
from .._sync.api.session import Session
from ..errors import InvalidInput
from ..models.trees import OPEN_STATUSES
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Json,
    Namespace,
    Url,
    app,
    count_of,
    escape_controls,
    log_audit,
    print_notice,
    print_result,
)
from .connect import open_cache, place_of
from .session_ids import Label, SessionId, find_session

Reason = Annotated[
    str | None, typer.Option("--reason", help="Reason that the session keeps.", show_default="no reason")
]


@app.command()
def pause(
    id: SessionId = None,
    label: Label = None,
    reason: Reason = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Pause a session. The session takes no messages until resume."""
    with open_cache(url, namespace) as cache:
        session = find_session(cache, id, label)
        rev = session.pause(reason=reason)
    print_result({"id": session.id, "status": "paused", "rev": rev}, f"paused: {session.id}", as_json)


@app.command()
def resume(
    id: SessionId = None,
    label: Label = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Resume a paused session. The session takes messages again."""
    with open_cache(url, namespace) as cache:
        session = find_session(cache, id, label)
        rev = session.resume()
    print_result({"id": session.id, "status": "active", "rev": rev}, f"resumed: {session.id}", as_json)


@app.command("request-cancel")
def request_cancel(
    id: SessionId = None,
    label: Label = None,
    reason: Reason = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Request a session and all its descendants to stop. Their handlers decide when, unlike with cancel."""
    with open_cache(url, namespace) as cache:
        session = find_session(cache, id, label)
        session.request_cancel(reason=reason)
        asked = [child.id for child in session.children(recursive=True) if child.status in OPEN_STATUSES]
    line = f"requested to stop: {session.id} and {count_of(len(asked), 'descendant')}"
    print_result({"requested": [session.id, *asked]}, line, as_json)


@app.command()
def retry(
    id: SessionId = None,
    label: Label = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Retry a run or a turn that failed: a worker of its agent gets the work again."""
    with open_cache(url, namespace) as cache:
        session = find_session(cache, id, label)
        session.retry()
        info = session.info()
    agent = info.answered_by or info.agent_id
    facts = {"id": session.id, "status": info.status, "agent_id": agent}
    print_result(facts, f"retried: {session.id} waits for a worker of {agent}", as_json)


@app.command()
def delete(
    id: SessionId = None,
    label: Label = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            help="Delete without a question. Needed without a terminal, and only with a whole ID or a label."
            " Default: ask first.",
        ),
    ] = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Delete a session with everything it owns, and all its descendants. Exit 1 if the session does not exist.

    Exit 1 if you answer no.
    """
    if not (yes or sys.stdin.isatty()):
        raise InvalidInput(name="delete", detail="cannot ask, because standard input is not a terminal: give --yes")
    with open_cache(url, namespace, audit=log_audit) as cache:
        session = find_session(cache, id, label)
        descendants = [child.id for child in session.children(recursive=True)]
        what = f"{session.id} and {count_of(len(descendants), 'descendant')}"
        if not yes:
            _ask(cache, session, what)
        elif label is None and session.id != id:
            detail = f"--yes needs a whole ID, and {id!r} is short for {session.id!r}"
            raise InvalidInput(name="delete", detail=detail)
        session.delete()
    print_result({"deleted": [session.id, *descendants]}, f"deleted: {what}", as_json)


def _ask(cache: SessionCache, session: Session, what: str) -> None:
    """Return if the user agrees to the deletion. Otherwise exit with 1."""
    info = session.info()
    facts = f"{info.status}, {count_of(info.count, 'message')}"
    print_notice(f"Delete {escape_controls(what)} ({facts}) from {place_of(cache)}?")
    if not typer.confirm("Delete", err=True):
        print_notice("nothing was deleted")
        raise typer.Exit(1)
