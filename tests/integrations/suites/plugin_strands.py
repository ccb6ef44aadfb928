"""A plugin for the tests of Strands Agents: wherever they make a repository, a file session manager or a storage in memory, they
get one on Redis."""

from __future__ import annotations

import itertools
import os
from typing import Any, ClassVar, cast

import strands.session.file_session_manager as file_managers
import strands.storage
import strands.storage.in_memory_storage as memory_storages

import tests.fixtures.mock_session_repository as repositories
from redis_sessions.bounds import MAX_WIRE_BYTES
from redis_sessions.integrations._shared import Caches
from redis_sessions.integrations.strands import RedisSessionsSessionManager, RedisSessionsStorage

_URL = os.environ["REDIS_SESSIONS_URL"]
_numbers = itertools.count()


def _namespace() -> str:
    return f"strands{os.getpid()}-{next(_numbers)}"


class RepositoryUnderTest(RedisSessionsSessionManager):
    """A repository without a session of its own."""

    def __init__(self) -> None:
        self._caches = Caches(
            url=_URL, cache=None, client=None, namespace=_namespace(), ttl=None, max_message_bytes=MAX_WIRE_BYTES
        )
        self._created_at = {}


class ManagerUnderTest(RedisSessionsSessionManager):
    """A session manager with one namespace for each folder."""

    _namespaces: ClassVar[dict[str, str]] = {}

    def __init__(self, session_id: str, storage_dir: str | None = None, **kwargs: Any) -> None:
        namespace = self._namespaces.setdefault(str(storage_dir), _namespace())
        super().__init__(session_id, url=_URL, namespace=namespace, **kwargs)


class StorageUnderTest(RedisSessionsStorage):
    """A storage with a namespace of its own."""

    def __init__(self, *, search_strategy: Any = None) -> None:
        super().__init__(url=_URL, namespace=_namespace(), search_strategy=search_strategy)


repositories.MockedSessionRepository = cast(Any, RepositoryUnderTest)
file_managers.FileSessionManager = cast(Any, ManagerUnderTest)
memory_storages.InMemoryStorage = strands.storage.InMemoryStorage = cast(Any, StorageUnderTest)
