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
from ..errors import InvalidInput, SessionNotFound
from ..models.events import SessionEvent
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Namespace,
    Url,
    app,
    describe_error,
    escape_controls,
    out,
    parse_duration,
    print_notice,
    shared_url,
)
from .codec_options import codec_options
from .session_ids import Label, SessionId, find_session
from .show import COLOURS, format_message

_TEXT_WIDTH = 200


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
    timeout: Annotated[
        str | None,
        typer.Option(
            "--timeout", help="End when nothing happens for this duration, such as 30s or 5m.", show_default="never"
        ),
    ] = None,
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
    _check(is_one, user, agent, tree, after_seq, from_now)
    seconds = None if timeout is None else parse_duration(timeout, "--timeout")
    try:
        with SessionCache.from_url(shared_url(url), namespace=namespace, **codec_options()) as cache:
            if is_one:
                found = cache.session(find_session(cache, id, label).id)
                events = found.watch(None if from_now else after_seq or 0, timeout=seconds)
            else:
                root = None if tree is None else find_session(cache, tree, label).id
                events = cache.watch(user=user, agent=agent, tree=root, timeout=seconds)
            _print_events(events, as_json, is_one)
    except SessionNotFound as problem:
        print_notice(describe_error(problem))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        return


def _check(
    is_one: bool, user: str | None, agent: str | None, tree: str | None, after_seq: int | None,
    from_now: bool,
) -> None:  # fmt: skip
    given = sum(one is not None for one in (user, agent, tree)) + is_one
    if given != 1:
        raise InvalidInput(
            name="watch", detail=f"needs exactly one of ID, --user, --agent and --tree, got {given} of them"
        )
    if not is_one and (after_seq is not None or from_now):
        raise InvalidInput(name="watch", detail="--after-seq and --from-now need the ID of one session")
    if after_seq is not None and from_now:
        raise InvalidInput(name="watch", detail="takes --after-seq or --from-now, got both")
    if after_seq is not None:
        whole(after_seq, "after_seq")


def _print_events(events: Iterator[SessionEvent], as_json: bool, is_one: bool) -> None:
    for event in events:
        if as_json:
            print(json.dumps(event.to_dict()), flush=True)
        elif out.is_terminal:
            out.print(_line(event, is_one), no_wrap=True, overflow="ellipsis")
        else:
            out.print(_line(event, is_one), soft_wrap=True)


def _line(event: SessionEvent, is_one: bool) -> Text:
    at = event.at or datetime.now(UTC)
    head = (Text(f"{at:%H:%M:%S} ", "dim"), "" if is_one else f"{escape_controls(event.session_id)} ")
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
    return escape_controls(text if len(text) <= _TEXT_WIDTH else f"{text[:_TEXT_WIDTH]}…")
