"""Fixtures of the tests of indexes."""

from __future__ import annotations

import pytest
import redis

from redis_sessions import SessionCache
from redis_sessions._core.commands import index_entries, list_pages
from redis_sessions._sync.services import entry_repair, expired_entries, indexer
from tests.conftest import Engines, fake_client


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let entries of sessions that are gone be removed however new they are."""
    for module in (index_entries, list_pages, indexer, entry_repair, expired_entries):
        monkeypatch.setattr(module, "CREATION_GRACE_MS", 0)


@pytest.fixture
def clients(cache: SessionCache, engine: str, engines: Engines) -> list[redis.Redis]:
    """Return a client for each node of the engine."""
    return [node.client for node in engines.nodes[engine]] or [fake_client(cache)]
