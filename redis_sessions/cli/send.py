"""`send` and `append`: write messages into a session from a shell."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Annotated, Any

import typer

from .._core.commands.messages import MessageLike
from .._core.protocol.json_values import from_json
from .._sync.api.cache import SessionCache
from .._sync.api.session import Session
from ..errors import InvalidInput, ReplyTimeout, SessionsError
from ..models.messages import Message
from ..models.results import SendResult
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Json,
    Namespace,
    Url,
    app,
    count_of,
    describe_error,
    escape_controls,
    parse_duration,
    print_notice,
    print_result,
)
from .connect import open_cache
from .session_ids import Label, SessionId, find_session, shift_text
from .show import format_message

_TEXT_HELP = "Text of the message, or - for standard input."
MessageText = Annotated[str | None, typer.Argument(help=_TEXT_HELP, show_default="required")]
BatchId = Annotated[
    str | None,
    typer.Option(
        "--batch-id",
        help="ID that makes the write happen once, however often the command is repeated.",
        show_default="a new one",
    ),
]
_QUIET_SECONDS = 0.7
"""The time after which a command says what it waits for."""
_ROLE_HELP = "Role of the message: system, user, assistant or tool."


@app.command()
def send(
    id: SessionId = None,
    text: MessageText = None,
    label: Label = None,
    role: Annotated[str, typer.Option("--role", help=_ROLE_HELP)] = "user",
    batch_id: BatchId = None,
    wait: Annotated[
        str | None,
        typer.Option(
            "--wait",
            help="Wait for the reply for this duration, such as 30s or 5m, and print the reply.",
            show_default="do not wait",
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Send a message to a session. While a worker holds the lease, the message waits in the inbox.

    With --wait the reply goes to standard output, and the line about the message to standard error. Exit 1 if no reply comes.
    """
    id, text = shift_text(id, text, label)
    message = Message(role, _content(text))
    seconds = None if wait is None else parse_duration(wait, "--wait")
    with open_cache(url, namespace) as cache:
        session = find_session(cache, id, label)
        sent = session.send(message, batch_id=batch_id)
        facts = {"id": session.id, **asdict(sent)}
        if seconds is None:
            print_result(facts, _describe(session.id, sent), as_json)
        else:
            with _say_why(cache, session, seconds):
                reply = _reply(session, sent, seconds)
            _print_reply(reply, facts, as_json)


@app.command()
def append(
    id: SessionId = None,
    text: Annotated[str | None, typer.Argument(help=_TEXT_HELP, show_default="none, with --payload")] = None,
    label: Label = None,
    role: Annotated[str | None, typer.Option("--role", help=_ROLE_HELP, show_default="assistant")] = None,
    payload: Annotated[
        str | None,
        typer.Option(
            "--payload",
            help="Message as a JSON object, or messages as a JSON array, instead of TEXT and --role. - reads standard input.",
            show_default="not given",
        ),
    ] = None,
    batch_id: BatchId = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    as_json: Json = False,
) -> None:
    """Append a message to the transcript of a session, or several messages: all or none."""
    if payload is None:
        id, text = shift_text(id, text, label)
        batch: list[MessageLike] = [Message("assistant" if role is None else role, _content(text))]
    elif text is None and role is None:
        batch = _messages(payload)
    else:
        raise InvalidInput(name="append", detail="takes TEXT and --role, or --payload, got both")
    with open_cache(url, namespace) as cache:
        session = find_session(cache, id, label)
        done = session.append(*batch, batch_id=batch_id)
    facts = {"id": session.id, **asdict(done), "limit": done.limit._asdict()}
    seqs = f"message {done.last_seq}" if len(batch) == 1 else f"messages {done.first_seq} to {done.last_seq}"
    print_result(facts, f"{_verb('appended', done.duplicate)}: {session.id}, {seqs}", as_json)


def _content(text: str | None) -> str:
    """Return the text of a message, without the newline at the end of standard input."""
    if text is None:
        raise InvalidInput(name="TEXT", detail="is missing: give the text of the message, or - for standard input")
    content = _standard_input("TEXT").removesuffix("\n") if text == "-" else text
    if not content:
        raise InvalidInput(name="TEXT", detail="must not be empty")
    try:
        content.encode()
    except UnicodeEncodeError:  # bytes of an argument that Python could not decode
        raise InvalidInput(name="TEXT", detail="must be UTF-8") from None
    return content


def _messages(payload: str) -> list[MessageLike]:
    text = _standard_input("--payload") if payload == "-" else payload
    try:
        found = from_json(text)
    except (ValueError, RecursionError) as problem:
        raise InvalidInput(name="--payload", detail=f"must be JSON: {problem}") from None
    batch = found if isinstance(found, list) else [found]
    if not batch or not all(isinstance(one, dict) for one in batch):
        detail = f"must be a JSON object or an array of objects, got {json.dumps(found, ensure_ascii=False)[:60]}"
        raise InvalidInput(name="--payload", detail=detail)
    return batch


def _standard_input(name: str) -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as problem:
        detail = f"standard input must be UTF-8: {problem.reason} at byte {problem.start}"
        raise InvalidInput(name=name, detail=detail) from None


def _reply(session: Session, sent: SendResult, seconds: float) -> Message | None:
    """Wait for the reply to a message. Return None if none comes."""
    print_notice(escape_controls(_describe(session.id, sent)))
    try:
        return session.wait_for_reply(sent, timeout=seconds)
    except ReplyTimeout as problem:
        print_notice(describe_error(problem))
        return None


def _print_reply(reply: Message | None, facts: dict[str, Any], as_json: bool) -> None:
    """Print a reply. Exit 1 if there is none."""
    if reply is None:
        if as_json:
            print(json.dumps({**facts, "reply": None}))
        raise typer.Exit(1)
    found = {"seq": reply.seq, "id": reply.id, "role": reply.role, "payload": reply.payload}
    print_result({**facts, "reply": found}, format_message(reply), as_json)


@contextmanager
def _say_why(cache: SessionCache, session: Session, seconds: float) -> Iterator[None]:
    """Say after a while on standard error what the reply waits for."""
    timer = threading.Timer(_QUIET_SECONDS, _say_reason, (cache, session, seconds))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join(_QUIET_SECONDS)


def _say_reason(cache: SessionCache, session: Session, seconds: float) -> None:
    with suppress(SessionsError):  # the wait itself reports what fails
        info = session.info()
        agent = info.answered_by or info.agent_id
        if info.lease is not None:
            reason = f"{info.lease.owner} holds the session"
        elif agent is None:
            reason = "the session names no agent that answers"
        elif not any(one.is_alive for one in cache.workers(agent, 100).items):
            reason = f"no worker of agent {agent} is alive"
        else:
            reason = f"the turn is {info.work or 'not taken yet'}, for agent {agent}"
        print_notice(escape_controls(f"waiting for the reply, at most {seconds:g} s: {reason}"))


def _describe(id: str, sent: SendResult) -> str:
    if sent.seq is not None:
        return f"{_verb('sent', sent.duplicate)}: {id}, message {sent.seq}"
    return f"{_verb('sent', sent.duplicate)}: {id}, {count_of(sent.waiting, 'message')} in the inbox"


def _verb(done: str, is_duplicate: bool) -> str:
    return f"{done} before" if is_duplicate else done
