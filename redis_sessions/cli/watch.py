"""`watch`: what happens in sessions, as it happens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from .._sync.cache import SessionCache
from ..errors import InvalidInput, SessionNotFound
from ..models.events import SessionEvent
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Namespace, Url, app, other_processes, out, printable, seconds, tell
from .show import COLOURS, told

_BEGINNING = 200  # characters of a text


@app.command()
def watch(
    id: Annotated[str | None, typer.Argument(help="The session.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="All sessions of this user instead.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="All sessions of this agent instead.")] = None,
    tree: Annotated[str | None, typer.Option("--tree", help="This session and all below it instead.")] = None,
    after_seq: Annotated[int | None, typer.Option("--after-seq", help="Only what comes after this message.")] = None,
    from_now: Annotated[bool, typer.Option("--from-now", help="Only what comes from now on.")] = False,
    timeout: Annotated[str | None, typer.Option("--timeout", help="End when nothing came for so long: 30, 5m.")] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each event.")] = False,
) -> None:
    """Print what happens in a session, or in all of a user, an agent or a tree, as it happens. Exit 1 when there is none.

    It ends with the session. What many sessions do is printed from now on, of new ones, too.
    """
    _check(id, user, agent, tree, after_seq, from_now)
    patience = None if timeout is None else seconds(timeout, "--timeout", 0.001, 10 * 365 * 86_400)
    try:
        with SessionCache.from_url(other_processes(url), namespace=namespace) as cache:
            if id is None:
                events = cache.watch(user=user, agent=agent, tree=tree, timeout=patience)
            else:
                events = cache.session(id).watch(None if from_now else after_seq or 0, timeout=patience)
            _print_all(events, as_json, is_one=id is not None)
    except SessionNotFound as problem:
        tell(str(problem))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        return


def _check(
    id: str | None, user: str | None, agent: str | None, tree: str | None, after_seq: int | None, from_now: bool
) -> None:
    if sum(one is not None for one in (id, user, agent, tree)) != 1:
        raise InvalidInput(name="watch", detail="give one of ID, --user, --agent and --tree")
    if id is None and (after_seq is not None or from_now):
        raise InvalidInput(name="watch", detail="--after-seq and --from-now are for one session, by its ID")
    if after_seq is not None and from_now:
        raise InvalidInput(name="watch", detail="give --after-seq or --from-now, not both")


def _print_all(events: Iterator[SessionEvent], as_json: bool, is_one: bool) -> None:
    for event in events:
        if as_json:
            print(json.dumps(_fields(event)), flush=True)
        elif out.is_terminal:
            out.print(_line(event, is_one), no_wrap=True, overflow="ellipsis")
        else:
            out.print(_line(event, is_one), soft_wrap=True)


def _line(event: SessionEvent, is_one: bool) -> Text:
    at = event.at or datetime.now(UTC)
    head = (Text(f"{at:%H:%M:%S} ", "dim"), "" if is_one else f"{printable(event.session_id)} ")
    if event.message is not None:
        role, text = event.message.role, told(event.message)
        return Text.assemble(*head, (f"{event.seq:>5} ", "dim"), (f"{role:<9} ", COLOURS[role]), _beginning(text))
    if event.kind == "status":
        return Text.assemble(*head, (f"is {event.status}", "bold"))
    if event.kind == "gap" and event.first_seq is None:
        return Text.assemble(*head, ("earlier changes of its status are not known any more", "yellow"))
    if event.kind == "regressed":
        return Text.assemble(*head, (f"a failover lost what came after message {event.seq}", "yellow"))
    if event.kind == "gap":
        return Text.assemble(*head, (f"messages {event.first_seq} to {event.seq} are gone", "yellow"))
    if event.kind == "deleted":
        return Text.assemble(*head, ("the session is gone", "bold"))
    text = event.data if isinstance(event.data, str) else json.dumps(event.data, ensure_ascii=False)
    return Text.assemble(*head, ("not stored: ", "dim"), _beginning(text))


def _beginning(text: str) -> str:
    return printable(text if len(text) <= _BEGINNING else f"{text[:_BEGINNING]}…")


def _fields(event: SessionEvent) -> dict[str, Any]:
    fields: dict[str, Any] = {name: getattr(event, name) for name in ("kind", "session_id", "seq", "change")}
    fields["at"] = event.at and event.at.isoformat()
    if event.message is not None:
        one = event.message
        fields |= {"id": one.id, "role": one.role, "type": one.type, "pinned": one.pinned, "payload": one.payload}
    elif event.kind == "status":
        fields["status"] = event.status
    elif event.kind == "gap":
        fields["first_seq"] = event.first_seq
    elif event.kind == "delta":
        fields["data"] = event.data
    return fields
