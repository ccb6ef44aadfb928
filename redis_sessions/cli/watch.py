"""`watch`: print what happens in sessions, as it happens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from .._durations import whole
from .._sync.api.cache import SessionCache
from ..errors import InvalidInput
from ..models.events import SessionEvent
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Namespace,
    Url,
    Wide,
    app,
    errors,
    escape_controls,
    is_cut,
    out,
    parse_duration,
    print_notice,
)
from .connect import open_cache, place_of
from .plain import CUT
from .session_ids import Label, SessionId, find_session, short_ids
from .show import COLOURS, format_message

_TEXT_WIDTH = 200
_SHORT_ID_ROOM = 24
_MAX_SHORT_IDS = 1000
"""The short IDs differ from those of as many sessions that were printed before."""
_ONCE_SECONDS = 0.5
"""The silence after which everything that happened was read."""


@app.command()
def watch(
    id: SessionId = None,
    label: Label = None,
    user: Annotated[
        str | None, typer.Option("--user", help="Watch all sessions of this user instead.", show_default="not given")
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", help="Watch all sessions of this agent instead.", show_default="not given")
    ] = None,
    tree: Annotated[
        str | None,
        typer.Option(
            "--tree",
            help="Watch the session with this ID or short ID, and all its descendants, instead.",
            show_default="not given",
        ),
    ] = None,
    after_seq: Annotated[
        int | None,
        typer.Option(
            "--after-seq", help="Begin after the message with this seq, 0 or more. Only with an ID.", show_default="0"
        ),
    ] = None,
    from_now: Annotated[
        bool,
        typer.Option(
            "--from-now",
            help="Skip what happened before the watch. Only with an ID. Default: begin with the transcript.",
        ),
    ] = False,
    cursor: Annotated[
        str | None,
        typer.Option(
            "--cursor",
            help="Go on behind the event with this cursor, which --json prints. Only with an ID.",
            show_default="not given",
        ),
    ] = None,
    once: Annotated[
        bool,
        typer.Option("--once", help="Print what happened until now, and end. Only with an ID. Default: go on."),
    ] = False,
    timeout: Annotated[
        str | None,
        typer.Option(
            "--timeout", help="End when nothing happens for this duration, such as 30s or 5m.", show_default="never"
        ),
    ] = None,
    wide: Wide = False,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON for each event. Default: text.")
    ] = False,
) -> None:
    """Watch a session, or all sessions of a user, an agent or a tree. Exit 1 if the session does not exist.

    Give exactly one of ID, --user, --agent and --tree. With --label, ID can be left out.
    A watch of one session ends with the session. A watch of many sessions includes new sessions and ends with Ctrl-C.
    """
    is_one = id is not None or (label is not None and tree is None)
    _check(is_one, user, agent, tree, after_seq, from_now, cursor, once)
    if once and timeout is not None:
        raise InvalidInput(name="watch", detail="takes --once or --timeout, got both")
    seconds = None if timeout is None else parse_duration(timeout, "--timeout")
    with open_cache(url, namespace) as cache:
        try:
            if is_one:
                found = find_session(cache, id, label)
                last = found.info().last_seq if once else None
                first = None if from_now else after_seq or 0
                events = found.watch(first, cursor=cursor, timeout=_ONCE_SECONDS if once else seconds)
                _announce(f"session {found.id}", cache, is_shown=not once)
            else:
                last, root = None, None if tree is None else find_session(cache, tree, label).id
                events = cache.watch(user=user, agent=agent, tree=root, timeout=seconds)
                names = {"tree": root, "user": user, "agent": agent}
                _announce(" ".join(f"{name} {one}" for name, one in names.items() if one), cache)
            _print_events(events, as_json, is_one, wide, last)
        except KeyboardInterrupt:
            return


def _announce(what: str, cache: SessionCache, *, is_shown: bool = True) -> None:
    """Say on a terminal what is watched, because nothing else may come for a long time."""
    if errors.is_terminal and is_shown:
        print_notice(f"watching {escape_controls(what)} in {place_of(cache)}. Ctrl-C ends the watch")


def _check(
    is_one: bool, user: str | None, agent: str | None, tree: str | None, after_seq: int | None,
    from_now: bool, cursor: str | None, once: bool,
) -> None:  # fmt: skip
    given = sum(one is not None for one in (user, agent, tree)) + is_one
    if given != 1:
        raise InvalidInput(
            name="watch", detail=f"needs exactly one of ID, --user, --agent and --tree, got {given} of them"
        )
    begins = (after_seq is not None) + from_now + (cursor is not None)
    if not is_one and (begins or once):
        detail = "--after-seq, --from-now, --cursor and --once need the ID of one session"
        raise InvalidInput(name="watch", detail=detail)
    if begins > 1:
        raise InvalidInput(
            name="watch",
            detail=f"takes one of --after-seq, --from-now and --cursor, got {'both' if begins == 2 else 3}",
        )
    if once and from_now:
        raise InvalidInput(name="watch", detail="takes --once or --from-now, got both")
    if after_seq is not None:
        whole(after_seq, "after_seq")


def _print_events(
    events: Iterator[SessionEvent], as_json: bool, is_one: bool, wide: bool, last_seq: int | None
) -> None:
    """Print events. `last_seq`: end behind the message with this seq."""
    shown: dict[str, str] = {}
    for event in events:
        if last_seq is not None and event.seq > last_seq:
            return
        if as_json:
            print(json.dumps(event.to_dict()), flush=True)
            continue
        if not is_cut(wide):
            out.print(_line(event, "" if is_one else escape_controls(event.session_id)), soft_wrap=True)
            continue
        if event.session_id not in shown:
            shown = short_ids([*list(shown)[-_MAX_SHORT_IDS:], event.session_id], _SHORT_ID_ROOM)
        out.print(_line(event, "" if is_one else shown[event.session_id]), no_wrap=True, overflow="ellipsis")


def _line(event: SessionEvent, id: str) -> Text:
    at = event.at or datetime.now(UTC)
    head = (Text(f"{at:%H:%M:%S} ", "dim"), f"{id} " if id else "")
    if event.message is not None:
        role, text = event.message.role, format_message(event.message)
        return Text.assemble(*head, (f"{event.seq:>5} ", "dim"), (f"{role:<9} ", COLOURS[role]), _beginning(text))
    if event.kind == "status":
        return Text.assemble(*head, (f"status {event.status}", "bold"))
    if event.kind == "gap" and event.first_seq is None:
        return Text.assemble(*head, ("earlier changes of the status are lost", "yellow"))
    if event.kind == "regressed":
        return Text.assemble(*head, (f"a failover lost the messages after {event.seq}", "yellow"))
    if event.kind == "gap":
        return Text.assemble(*head, (f"messages {event.first_seq} to {event.seq} are gone", "yellow"))
    if event.kind == "edit":
        return Text.assemble(*head, (f"messages from {event.first_seq} on were edited", "bold"))
    if event.kind == "deleted":
        return Text.assemble(*head, ("the session is gone", "bold"))
    text = event.data if isinstance(event.data, str) else json.dumps(event.data, ensure_ascii=False)
    return Text.assemble(*head, ("not stored: ", "dim"), _beginning(text))


def _beginning(text: str) -> str:
    return escape_controls(text[:_TEXT_WIDTH]) + (CUT if len(text) > _TEXT_WIDTH else "")
