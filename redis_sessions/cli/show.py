"""`show`: a session as a person reads it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from .._sync.cache import SessionCache
from ..models.messages import Message
from ..models.sessions import SessionInfo
from . import lease
from .app import DEFAULT_NAMESPACE, DEFAULT_URL, Json, Namespace, Url, app, other_processes, out, printable

COLOURS = {"system": "magenta", "user": "green", "assistant": "cyan", "tool": "yellow"}


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="The session.")],
    url: Url = DEFAULT_URL,
    namespace: Namespace = DEFAULT_NAMESPACE,
    limit: Annotated[int | None, typer.Option("--limit", min=0, help="Only the newest messages.")] = None,
    as_json: Json = False,
) -> None:
    """Show a session: what it is, and its transcript."""
    with SessionCache.from_url(other_processes(url), namespace=namespace) as cache:
        session = cache.open(id)
        info, messages = session.info(), session.history(limit)
    if as_json:
        listed = [
            {"seq": one.seq, "id": one.id, "timestamp": one.timestamp.isoformat(), **_payload(one)} for one in messages
        ]
        print(json.dumps({**info.model_dump(mode="json"), "messages": listed}))
        return
    out.print(Panel(_summary(info), title=escape(info.id), title_align="left", expand=False))
    if info.system_prompt is not None:
        _print_line("system", "prompt", info.system_prompt)
    if info.dropped:
        out.print(f"[dim]… {info.dropped} older messages were dropped[/]")
    for one in messages:
        label = f"{one.seq}{' pinned' if one.pinned else ''} {one.timestamp:%H:%M:%S}"
        _print_line(one.role, label, told(one))


def _payload(message: Message) -> dict[str, Any]:
    return {"role": message.role, "type": message.type, "pinned": message.pinned, "payload": message.payload}


def _summary(info: SessionInfo) -> str:
    life = "persistent" if info.expires_in is None else f"expires in {str(info.expires_in).split('.')[0]}"
    lines = [
        f"{info.status} · rev {info.rev} · {life}" + (f" · {escape(info.reason)}" if info.reason else ""),
        f"{info.count} messages ({info.bytes:,} bytes, {info.tokens:,} tokens) · {info.turns} turns · {info.dropped} dropped",
        f"created {info.created_at:%Y-%m-%d %H:%M:%S} · updated {info.updated_at:%H:%M:%S} UTC",
    ]
    who = {"user": info.user_id, "agent": info.agent_id, "name": info.name, "tags": ", ".join(info.tags) or None}
    described = " · ".join(f"{key} {escape(value)}" for key, value in who.items() if value)
    if described:
        lines.append(described)
    if info.lease is not None:
        lines.append(lease.told(info.lease))
    if info.inbox:
        lines.append(f"{info.inbox} messages in the inbox")
    return "\n".join(lines)


def told(message: Message) -> str:
    """What a message says, and which tools it calls."""
    calls = message.payload.get("tool_calls") or []
    parts = [message.text] if message.text else []
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function", {}) if isinstance(call, dict) else {}
        parts.append(f"→ {function.get('name', 'tool')}({function.get('arguments', '')})")
    if not parts:
        rest = {key: value for key, value in message.payload.items() if key != "role" and value is not None}
        parts.append(json.dumps(rest, ensure_ascii=False))
    return "\n".join(parts)


def _print_line(role: str, label: str, text: str) -> None:
    indented = printable(text, keep="\n").replace("\n", "\n" + " " * 10)  # no message looks like another's line
    out.print(Text.assemble((f"{role:>9} ", COLOURS[role]), (f"{label}  ", "dim"), indented))
