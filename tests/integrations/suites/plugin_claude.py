"""A plugin for the tests of the Claude Agent SDK: wherever they make the SDK's store in memory, they get a RedisSessionsStore."""

from __future__ import annotations

import itertools
import os
from typing import Any, cast

import claude_agent_sdk
from claude_agent_sdk._internal import session_store

from redis_sessions import SessionCache
from redis_sessions.integrations._shared import id_of
from redis_sessions.integrations.claude_agent_sdk import RedisSessionsStore, _part_name

_numbers = itertools.count()


class StoreUnderTest(RedisSessionsStore):
    """A store with a namespace of its own, and with the methods that the SDK's store has for tests."""

    def __init__(self) -> None:
        super().__init__(url=os.environ["REDIS_SESSIONS_URL"], namespace=f"claude{os.getpid()}-{next(_numbers)}")
        self._mtimes: dict[str, int] = {}
        """Times that a test gives to sessions, by project and ID."""

    async def list_sessions(self, project_key: str) -> list[Any]:
        """Return the sessions, with the times that the test gave to them."""
        found = await super().list_sessions(project_key)
        for one in found:
            one["mtime"] = self._mtimes.get(f"{project_key}/{one['session_id']}", one["mtime"])
        return found

    @property
    def _plain(self) -> SessionCache:
        return self._caches.plain

    def get_entries(self, key: Any) -> list[dict[str, Any]]:
        """Return the entries of a transcript."""
        session = self._plain.get(id_of(key["project_key"], key["session_id"]))
        if session is None:
            return []
        subpath = key.get("subpath")
        return [one.payload for one in (session.part(_part_name(subpath)) if subpath else session).history()]

    def clear(self) -> None:
        """Delete all sessions."""
        for one in list(self._plain.iter_sessions()):
            self._plain.delete(one.id)

    @property
    def size(self) -> int:
        """Return the number of main transcripts."""
        return sum(one.last_seq > 0 for one in self._plain.iter_sessions())


claude_agent_sdk.InMemorySessionStore = cast(Any, StoreUnderTest)
session_store.InMemorySessionStore = cast(Any, StoreUnderTest)
