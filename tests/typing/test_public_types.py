"""Types that callers see. `make check` lets mypy verify each `assert_type`, and the tests run the same calls."""

from __future__ import annotations

import asyncio
from typing import Any, assert_type

from pydantic import BaseModel

from redis_sessions import (
    AppendResult,
    AsyncSession,
    AsyncSessionCache,
    LeaseInfo,
    Message,
    Page,
    Session,
    SessionCache,
    SessionInfo,
    SessionSummary,
    Window,
)

X = {"role": "user", "content": "x"}


class Bag(BaseModel):
    """A value of the state."""

    colour: str


def test_sync_calls_have_precise_types() -> None:
    """Each call of the sync client has a precise result type, and a typed read has the type that the caller asked for."""
    with SessionCache.from_url("fake://") as cache:
        session = assert_type(cache.create("a", user_id="mia"), Session)
        assert_type(cache.get("a"), Session | None)
        assert_type(session.append(X), AppendResult)
        assert_type(session.history(), list[Message])
        window = assert_type(session.context(), Window)
        assert_type(window[0], Message)
        assert_type(window.payloads, list[dict[str, Any]])
        assert_type(window.tokens, int)
        assert_type(session.replace(1, X), AppendResult)
        assert_type(session.replace(X, after_seq=0), AppendResult)
        assert_type(session.abandon_calls(), int)
        branch = assert_type(session.fork(), Session)
        assert_type(branch.pop(), list[Message])
        branch.clear()
        assert_type(cache.create().import_messages([X]), AppendResult)
        assert_type(branch.append(X, state={"a": 1}, if_state={"a": None}), AppendResult)
        assert_type(session.info(), SessionInfo)
        assert_type(session.lease().info(), LeaseInfo | None)
        assert_type(cache.list(user_id="mia"), Page[SessionSummary])
        session.state["bag"] = Bag(colour="red")
        bag = assert_type(session.state.get("bag", type=Bag), Bag | None)
        assert bag == Bag(colour="red")
        documents = cache.documents("notes")
        documents.put_json("bag", {"colour": "red"})
        assert assert_type(documents.get_json("bag", type=Bag), Bag | None) == bag
        assert assert_type(documents.get_json("bag"), Any) == {"colour": "red"}
        with session.lease() as lease:
            assert_type(lease.session, Session)
            assert_type(lease.receive(), list[Message])


def test_async_calls_have_precise_types() -> None:
    """Each call of the asyncio client has the result type of the sync call."""

    async def main() -> None:
        async with AsyncSessionCache.from_url("fake://") as cache:
            session = assert_type(await cache.create("a", user_id="mia"), AsyncSession)
            assert_type(await cache.get("a"), AsyncSession | None)
            assert_type(await session.append(X), AppendResult)
            assert_type(await session.history(), list[Message])
            assert_type(await session.context(), Window)
            assert_type(await session.replace(1, X), AppendResult)
            assert_type(await session.replace(X, after_seq=0), AppendResult)
            assert_type(await session.abandon_calls(), int)
            branch = assert_type(await session.fork(), AsyncSession)
            assert_type(await branch.pop(), list[Message])
            assert_type(await (await cache.create()).import_messages([X]), AppendResult)
            assert_type(await session.info(), SessionInfo)
            assert_type(await cache.list(user_id="mia"), Page[SessionSummary])
            await session.state.put("bag", Bag(colour="red"))
            bag = assert_type(await session.state.get("bag", type=Bag), Bag | None)
            assert bag == Bag(colour="red")
            async with session.lease() as lease:
                assert_type(lease.session, AsyncSession)
                assert_type(await lease.receive(), list[Message])

    asyncio.run(main())
