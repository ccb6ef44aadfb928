"""A plugin for pytest that lets the suite of the MCP Python SDK use the event store of redis_sessions.

The suite has two event stores of its own. Some of its tests compare event IDs with '1', '2', …, or look at the stored events. So
each store here keeps what was stored, and gives the event IDs of redis_sessions such numbers.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anyio
import pytest
from mcp.server.streamable_http import EventMessage

from redis_sessions.integrations.mcp import RedisSessionsEventStore
from tests.interaction.transports import _event_store, test_client_transport_http, test_hosting_resume
from tests.shared import test_streamable_http

URL = os.environ["REDIS_SESSIONS_URL"]
calls = 0


class NumberedEventStore(RedisSessionsEventStore):
    """The event store, whose event IDs are numbers of this object."""

    def __init__(self) -> None:
        super().__init__(url=URL, namespace=f"suite-{id(self)}-{os.getpid()}", on_failure="raise")
        self._numbers: dict[str, str] = {}
        self._stored: list[tuple[str, Any]] = []
        self._changed = anyio.Event()

    async def store_event(self, stream_id: str, message: Any) -> str:
        """Store an event, and return its number."""
        global calls
        calls += 1
        event_id = await super().store_event(stream_id, message)
        assert event_id not in self._numbers.values()
        number = str(len(self._numbers) + 1)
        self._numbers[number] = event_id
        self._stored.append((stream_id, message))
        self._changed.set()
        self._changed = anyio.Event()
        return number

    async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str | None:
        """Replay the events behind a number."""

        async def send(event: EventMessage) -> None:
            numbers = {event_id: number for number, event_id in self._numbers.items()}
            await send_callback(replace(event, event_id=numbers[str(event.event_id)]))

        return await super().replay_events_after(self._numbers.get(last_event_id, last_event_id), send)


class SequencedEventStore(NumberedEventStore):
    """The store of the interaction tests."""

    @property
    def _events(self) -> list[tuple[str, Any]]:
        return self._stored

    async def wait_until_stored(self, count: int) -> None:
        """Return when this number of events is stored."""
        while len(self._stored) < count:
            await self._changed.wait()


class SimpleEventStore(NumberedEventStore):
    """The store of the tests of the transport."""

    @property
    def _events(self) -> list[tuple[str, str, Any]]:
        return [(stream, str(at), message) for at, (stream, message) in enumerate(self._stored, start=1)]


test_streamable_http.SimpleEventStore = SimpleEventStore
for module in (_event_store, test_client_transport_http, test_hosting_resume):
    module.SequencedEventStore = SequencedEventStore


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that use an event store."""
    items[:] = [item for item in items if _uses_event_store(item)]


def _uses_event_store(item: pytest.Item) -> bool:
    assert isinstance(item, pytest.Function)
    return "event_app" in item.fixturenames or "EventStore(" in inspect.getsource(item.function)


@pytest.fixture(scope="session", autouse=True)
def _store_is_used() -> Iterator[None]:
    yield
    assert calls, "no test used the event store of redis_sessions"
