"""`pause`, `resume`, `request-cancel`, `retry`, `delete`: steer a session, or remove it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .._sync.api.cache import SessionCache
from .._sync.api.session import Session
from ..errors import InvalidInput, SessionsError
from ..models.trees import OPEN_STATUSES
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Json,
    Namespace,
    Url,
    app,
    count_of,
    describe_error,
    log_audit,
    print_notice,
    print_result,
)
from .connect import open_cache, place_of
from .session_ids import Label, SessionId, find_session
from .tree import find_descendants, name_tree

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
        found = find_descendants(session)
    asked = None if found is None else [child.id for child in found if child.status in OPEN_STATUSES]
    line = f"requested to stop: {name_tree(session, asked)}"
    print_result({"requested": [session.id, *(asked or ())]}, line, as_json)


@app.command()
def retry(
    id: SessionId = None,
    label: Label = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Retry a run or a turn that failed: a worker of its agent gets the work again. Exit 1 if nothing failed."""
    with open_cache(url, namespace) as cache:
        session = find_session(cache, id, label)
        try:
            session.retry()
        except InvalidInput as problem:  # nothing on the command line is wrong: the session refuses
            print_notice(f"error {describe_error(problem)}")
            raise typer.Exit(1) from None
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
        if yes and id is not None and cache.get(id) is None:
            whole = f" for {session.id!r}" if label is None else ""
            detail = f"--yes needs a whole ID, and {id!r} is short{whole}"
            raise InvalidInput(name="delete", detail=detail)
        found = find_descendants(session)
        what = name_tree(session, found)
        if not yes:
            _ask(cache, session, what)
        session.delete()
    print_result({"deleted": [session.id, *(one.id for one in found or ())]}, f"deleted: {what}", as_json)


def _ask(cache: SessionCache, session: Session, what: str) -> None:
    """Return if the user agrees to the deletion. Otherwise exit with 1."""
    try:
        info = session.info()
        facts = f"{info.status}, {count_of(info.count, 'message')}"
    except SessionsError as problem:  # what is damaged can be deleted, too
        facts = f"cannot be read: {describe_error(problem)}"
    print_notice(f"Delete {what} ({facts}) from {place_of(cache)}?")
    if not typer.confirm("Delete", err=True):
        print_notice("nothing was deleted")
        raise typer.Exit(1)
