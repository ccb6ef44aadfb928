"""`show`: print a session for a person to read."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..models.messages import Message
from ..models.runs import Attempt
from ..models.sessions import SessionInfo
from .app import (
    DEFAULT_NAMESPACE,
    DEFAULT_URL,
    Json,
    Namespace,
    Url,
    app,
    count_of,
    escape_controls,
    format_span,
    out,
    print_line,
)
from .connect import open_cache
from .lease import describe_lease
from .session_ids import Label, SessionId, find_session

COLOURS = {"system": "magenta", "user": "green", "assistant": "cyan", "tool": "yellow"}
_ROLE_WIDTH = 9
_FRAME_WIDTH = 6
"""Columns of a frame that its title leaves free."""


@app.command()
def show(
    id: SessionId = None,
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=0,
            help="Newest messages to print. 0 prints the summary alone.",
            show_default="all retained messages",
        ),
    ] = None,
    label: Label = None,
    as_json: Json = False,
) -> None:
    """Show a session: its status, limits, lease and inbox, then its transcript."""
    with open_cache(url, namespace) as cache:
        session = find_session(cache, id, label)
        info, messages = session.info(), session.history(limit)
    if as_json:
        listed = [
            {"seq": one.seq, "id": one.id, "timestamp": one.timestamp.isoformat(), **_payload(one)} for one in messages
        ]
        print(json.dumps({**info.model_dump(mode="json"), "messages": listed}))
        return
    summary = Text(escape_controls("\n".join(_summary(info)), keep="\n"))
    fits = len(info.id) <= out.width - _FRAME_WIDTH
    if not fits:
        print_line(escape_controls(info.id))
    out.print(Panel(summary, title=Text(info.id) if fits else None, title_align="left", expand=False))
    if info.system_prompt is not None:
        _print_message("system", "prompt", info.system_prompt)
    if info.dropped:
        out.print(
            f"[dim]… {count_of(info.dropped, 'older message')} {'was' if info.dropped == 1 else 'were'} dropped[/]"
        )
    for one in messages:
        label = f"{one.seq}{' pinned' if one.pinned else ''} {one.timestamp:%H:%M:%S}"
        _print_message(one.role, label, format_message(one))


def _payload(message: Message) -> dict[str, Any]:
    return {"role": message.role, "type": message.type, "pinned": message.pinned, "payload": message.payload}


def _summary(info: SessionInfo) -> list[str]:
    life = "persistent" if info.expires_in is None else f"expires in {str(info.expires_in).split('.')[0]}"
    sizes = f"{info.bytes:,} bytes, {info.tokens:,} tokens"
    lines = [
        f"{info.status} · rev {info.rev} · {life}" + (f" · {info.reason}" if info.reason else ""),
        f"{count_of(info.count, 'message')} ({sizes}) · {count_of(info.turns, 'turn')} · {info.dropped:,} dropped",
        f"created {info.created_at:%Y-%m-%d %H:%M:%S} · updated {info.updated_at:%Y-%m-%d %H:%M:%S} UTC",
    ]
    fields = {
        "user": info.user_id, "agent": info.agent_id, "name": info.name, "tags": ", ".join(info.tags),
        "parent": info.parent_id, "label": info.label, "task": info.task,
    }  # fmt: skip
    described = " · ".join(f"{name} {value}" for name, value in fields.items() if value)
    if described:
        lines.append(described)
    if info.attempt or info.work:
        bound = "" if info.max_attempts is None else f" of {info.max_attempts}"
        lines.append(f"{f'{info.work}, ' if info.work else ''}attempt {info.attempt}{bound}")
    lines += [describe_attempt(number, one) for number, one in enumerate(info.attempts, 1)]
    if info.lease is not None or info.inbox_size:
        lines += describe_lease(info.id, info.lease, info.inbox_size)
    return lines


def describe_attempt(number: int, attempt: Attempt) -> str:
    """Return the line of an attempt that did not end well."""
    lasted = format_span((attempt.ended_at - attempt.started_at).total_seconds())
    return f"attempt {number} {attempt.outcome} after {lasted} on {attempt.worker}: {attempt.error}"


def format_message(message: Message) -> str:
    """Return the text of a message, and the tools that it calls."""
    calls = message.payload.get("tool_calls") or []
    parts = [message.text] if message.text else []
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function") if isinstance(call, dict) else None
        function = function if isinstance(function, dict) else {}
        parts.append(f"→ {function.get('name', 'tool')}({function.get('arguments', '')})")
    if not parts:
        rest = {key: value for key, value in message.payload.items() if key != "role" and value is not None}
        parts.append(json.dumps(rest, ensure_ascii=False))
    return "\n".join(parts)


def _print_message(role: str, label: str, text: str) -> None:
    """Print a message. Its further lines are indented, so that none of them looks like another message."""
    safe = escape_controls(text, keep="\n")
    head = Text.assemble((f"{role:>{_ROLE_WIDTH}} ", COLOURS[role]), (f"{label}  ", "dim"))
    if out.is_terminal:
        grid = Table.grid()
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(head, Text(safe))
        out.print(grid)
    else:
        indented = safe.replace("\n", "\n" + " " * (_ROLE_WIDTH + 1))
        out.print(Text.assemble(head, indented), soft_wrap=True)
