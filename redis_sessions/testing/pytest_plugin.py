"""Fixtures for pytest. Turn them on in a `conftest.py`: `pytest_plugins = ["redis_sessions.testing.pytest_plugin"]`.

A fixture whose extra is not installed fails with the extra's name. Nothing is started before a test asks for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from .. import AsyncSessionCache, SessionCache
from ._caches import fake_cache
from ._clock import FakeClock, fake_clock, watch_cache
from ._recorder import Recorder, record

_NAMESPACE = "test"


@pytest.fixture
def redis_sessions_clock() -> Iterator[FakeClock]:
    """The clock of the fake servers of this test. `advance("31m")` moves it on."""
    with fake_clock() as clock:
        yield clock


@pytest.fixture
def fake_session_cache(redis_sessions_clock: FakeClock) -> Iterator[SessionCache]:
    """A cache on a fake server of its own."""
    with fake_cache(namespace=_NAMESPACE) as cache:
        yield cache


@pytest.fixture
def fake_async_session_cache(fake_session_cache: SessionCache) -> AsyncSessionCache:
    """A cache for asyncio on the store of `fake_session_cache`. Close it in the test, with `async with`."""
    return watch_cache(AsyncSessionCache(fake_session_cache))


@pytest.fixture(scope="session")
def redis_sessions_server() -> Iterator[SessionCache]:
    """A private real server, which all tests share."""
    with SessionCache.from_url("embedded://") as cache:
        yield cache


@pytest.fixture
def server_session_cache(redis_sessions_server: SessionCache) -> Iterator[SessionCache]:
    """A cache on a real server, in a namespace that no other test uses."""
    with SessionCache(redis_sessions_server, namespace=f"test-{secrets.token_hex(6)}") as cache:
        yield cache


@pytest.fixture
def server_async_session_cache(server_session_cache: SessionCache) -> AsyncSessionCache:
    """A cache for asyncio on the store of `server_session_cache`. Close it in the test, with `async with`."""
    return AsyncSessionCache(server_session_cache)


@pytest.fixture
def session_recorder() -> Iterator[Recorder]:
    """The calls by which the code under test writes, of all caches."""
    with record() as recorder:
        yield recorder
