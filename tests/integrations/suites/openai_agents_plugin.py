"""A plugin for the tests of the OpenAI Agents SDK: wherever they make an SQLite or Redis session, they get ours."""

from __future__ import annotations

import hashlib
import itertools
import os
from typing import Any

import agents
import agents.extensions.memory.encrypt_session  # it compares with the SDK's own class, so it is imported before the exchange
from agents.extensions.memory import async_sqlite_session, redis_session
from agents.memory import sqlite_session

from redis_sessions.integrations.openai_agents import RedisSessionsSession

_numbers = itertools.count()
_make = RedisSessionsSession.__init__


def _init(
    self: RedisSessionsSession,
    session_id: str,
    db_path: Any = ":memory:",
    *,
    session_settings: Any = None,
    **given: Any,
) -> None:
    """Make a session in the namespace that stands for a database, or for a client with a prefix."""
    place = f"{db_path} {id(given.get('redis_client'))} {given.get('key_prefix')}"
    if not given and str(db_path) == ":memory:":
        place = str(next(_numbers))
    namespace = f"suite{os.getpid()}-{hashlib.sha1(place.encode(), usedforsecurity=False).hexdigest()[:12]}"
    _make(
        self, session_id, url=os.environ["REDIS_SESSIONS_URL"], namespace=namespace, session_settings=session_settings,
        ttl=given.get("ttl"),
    )  # fmt: skip


RedisSessionsSession.__init__ = _init  # type: ignore[method-assign, assignment]
for module, name in (
    (agents, "SQLiteSession"), (agents.memory, "SQLiteSession"), (sqlite_session, "SQLiteSession"),
    (async_sqlite_session, "AsyncSQLiteSession"), (redis_session, "RedisSession"),
):  # fmt: skip
    setattr(module, name, RedisSessionsSession)
