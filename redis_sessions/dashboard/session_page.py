"""The page of one session: its facts, lease, inbox, attempts, state and ledger, and its transcript."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from .._async.api.session import AsyncSession
from ..errors import (
    CodecMissing,
    DecryptionError,
    InvalidInput,
    InvalidState,
    SessionDamaged,
)
from ..models.messages import Message
from .action_names import ACTIONS, offered_actions
from .board import Board, Page, Query, query_of
from .text import as_json
from .transcript import damaged_item, full_text, items_of

MESSAGES = 50
"""Messages of a page."""
_FIRST = 8
"""Messages that are read first. The others follow unless these are large."""
_LARGE = 200_000
_STATE_SHOWN = 6000
_LOOPS = 50


def session_of(board: Board, query: Query) -> AsyncSession:
    """Return the handle on the session that a query names. Raises InvalidInput."""
    id = query.get("id", "")
    if not id:
        raise InvalidInput(name="id", detail="is missing: choose a session on the page of sessions")
    return board.cache.session(id)


async def load_facts(board: Board, query: Query) -> dict[str, Any]:
    """Return what the page shows apart from the transcript. One round trip, and two more for state and ledger."""
    session = session_of(board, query)
    info = await session.info()
    state, ledger = await asyncio.gather(_or_problem(session.state.all()), _or_problem(session.ledger()))
    loops = [] if isinstance(ledger, str) else ledger.loops
    fleet = board.poller.fleet
    known = next((one for one in fleet.sessions if one.id == info.id), None) if fleet else None
    return {
        "info": info, "now": info.read_at, "known": known, "loops": loops[-_LOOPS:][::-1], "loop_count": len(loops),
        "state_count": 0 if isinstance(state, str) else len(state),
        "state_text": "" if state == {} else state if isinstance(state, str) else as_json(state, _STATE_SHOWN),
        "ledger_problem": ledger if isinstance(ledger, str) else "", "actions": offered_actions(info),
        "problems": [one for one in fleet.problems if one.session_id == info.id] if fleet else [],
    }  # fmt: skip


async def load_session(board: Board, query: Query) -> dict[str, Any]:
    """Return everything that the page shows."""
    before = _seq_of(query, "before")
    facts, transcript = await asyncio.gather(load_facts(board, query), load_transcript(board, query, before))
    return facts | transcript


async def load_transcript(board: Board, query: Query, before: int | None) -> dict[str, Any]:
    """Return the newest messages, or those before a seq. One round trip for each MiB. Damaged messages are shown as such."""
    session, problem = session_of(board, query), ""
    messages, damaged = list[Message](), dict[int, str]()
    try:
        try:
            messages = await read_messages(session, before)
        except InvalidState:
            messages = await read_messages(session, before, skip_damaged=True)
            damaged = await _find_damaged(session, [one.seq for one in messages], before)
            problem = "messages that are damaged are marked so. `redis-sessions doctor --repair` moves them away"
    except (CodecMissing, DecryptionError, InvalidState, SessionDamaged) as error:
        problem = str(error)
    items = [*items_of(messages), *(damaged_item(seq, reason) for seq, reason in damaged.items())]
    return {
        "items": sorted(items, key=lambda one: one.seq), "before": before, "transcript_problem": problem,
        "older": messages[0].seq if len(messages) == MESSAGES else None, "session_id": session.id,
    }  # fmt: skip


async def _find_damaged(session: AsyncSession, shown: Sequence[int], before: int | None) -> dict[int, str]:
    """Return the damaged messages among and around those that are shown, at most 50: the seq of each, and the reason."""
    upper = (await session.info()).last_seq if before is None else before - 1
    lower = shown[0] if len(shown) == MESSAGES else max((shown[0] if shown else upper) - MESSAGES, 1)
    missing = sorted({*range(lower, upper + 1)} - {*shown}, reverse=True)[:MESSAGES]
    reads = [session.history(1, after_seq=seq - 1, before_seq=seq + 1) for seq in missing]
    found = await asyncio.gather(*reads, return_exceptions=True)
    return {seq: str(one) for seq, one in zip(missing, found, strict=True) if isinstance(one, InvalidState)}


async def read_messages(session: AsyncSession, before: int | None, *, skip_damaged: bool = False) -> list[Message]:
    """Return up to `MESSAGES` messages, oldest first. Fewer if they are large, so that one page never reads many megabytes."""
    newest = await session.history(_FIRST, before_seq=before, skip_damaged=skip_damaged)
    length = sum(len(full_text(one)) for one in newest)
    if len(newest) < _FIRST or length > _LARGE:
        return newest
    rest = await session.history(MESSAGES - _FIRST, before_seq=newest[0].seq, skip_damaged=skip_damaged)
    return [*rest, *newest]


async def _or_problem(call: Any) -> Any:
    try:
        return await call
    except (CodecMissing, DecryptionError, InvalidState, SessionDamaged) as problem:
        return str(problem)


def _seq_of(query: Query, name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:20]) < 2**53:
        raise InvalidInput(name=name, detail=f"must be the seq of a message, 1 or more, got {text[:60]!r}")
    return int(text)


async def download_message(board: Board, request: Request) -> Response:
    """Return one whole message as an attachment: its text, or its JSON."""
    query = query_of(request)
    session, seq = session_of(board, query), _seq_of(query, "seq")
    if seq is None:
        raise InvalidInput(name="seq", detail="is missing: follow a link of the transcript")
    found = await session.history(1, before_seq=seq + 1, after_seq=seq - 1)
    if not found:
        raise InvalidInput(name="seq", detail=f"the session retains no message {seq}: the cap or an edit removed it")
    text = full_text(found[0])
    is_json = query.get("form") == "json" or not text
    content = json.dumps(found[0].payload, ensure_ascii=False) if is_json else text
    name = f"{re.sub(r'[^A-Za-z0-9._-]', '-', session.id)[:100]}-{seq}.{'json' if is_json else 'txt'}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content.encode("utf-8", "replace"), media_type="text/plain; charset=utf-8", headers=headers)


def _title(query: Query) -> str:
    return f"Session {query.get('id', '')}"


def _extras(query: Query) -> dict[str, Any]:
    done = ACTIONS.get(query.get("done", ""))
    return {"done": done.done if done else ""}


SESSION = Page("session", _title, ("facts", "transcript"), load_session, "sessions", "session.html", _extras)
FACTS = Page("session facts", _title, ("facts",), load_facts)
"""The part of the page that is read again after each read of the fleet."""
