"""The session cache: where sessions are created, found and deleted."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType
from typing import Any, Self, Unpack

from .._core import leases, sessions
from .._core.codec import TokenCounter, estimate_tokens
from .._core.ids import check_id, check_namespace, new_id, new_life
from .._core.keys import index_keys, session_keys
from .._core.units import Duration, milliseconds, whole
from ..engines import Engine, from_client, from_url
from ..errors import InvalidInput, SessionNotFound
from ..models.leases import LeaseInfo
from ..models.pages import Page
from ..settings import CacheOptions, Description, NewSession, SessionOptions, SessionSettings
from .calls import Calls
from .nodes import Nodes
from .session import AsyncSession
from .wakes import Wakes


class AsyncSessionCache:
    """Sessions of one namespace on one server or cluster, shared by all workers that name the same.

    `from_url` makes connections of its own; the constructor borrows the settings of a redis-py client, which it never uses
    up or closes. Close it, or use it in a `with` block. One cache serves a whole process, all its tasks and threads.
    """

    def __init__(self, client: Any, **options: Unpack[CacheOptions]) -> None:
        """A cache beside a redis-py client (standalone or cluster). `options` are those of `from_url`."""
        self._set_up(from_client(client), **options)

    @classmethod
    def from_url(cls, url: str, **options: Unpack[CacheOptions]) -> Self:
        """A cache for a URL: redis://, rediss://, unix://, redis+sentinel://, redis+cluster://, embedded://[path],
        fake://.

        Nothing is sent yet. `namespace` ("sessions") is the deployment or tenant. `timeout` (5 s) bounds one attempt,
        `retry_for` (10 s) a call with all its retries; `max_connections` (50) is for each node, threads wait for a free one.
        `acks` (0) is how many replicas must have each write before it is answered; fewer within half of `timeout` raises
        NotReplicated. `token_counter` counts a message's tokens when it is appended. `touch_on_read` lets `history` extend
        a session's life. The rest are the defaults for new sessions, see SessionSettings. Raises InvalidInput.
        """
        cache = cls.__new__(cls)
        cache._set_up(from_url(url), **options)
        return cache

    def _set_up(
        self,
        engine: Engine,
        *,
        namespace: str = "sessions",
        timeout: Duration = 5.0,
        retry_for: Duration = 10.0,
        max_connections: int = 50,
        token_counter: TokenCounter = estimate_tokens,
        touch_on_read: bool = False,
        acks: int = 0,
        **settings: Unpack[SessionOptions],
    ) -> None:
        self.namespace = check_namespace(namespace)
        self.settings = SessionSettings.of(dict(settings))
        self.engine = engine
        self.where = engine.where
        self._count = token_counter
        self._touch_on_read = touch_on_read
        bound = milliseconds(retry_for, "retry_for") / 1000
        attempt = min(milliseconds(timeout, "timeout") / 1000, bound)
        self._nodes = Nodes(engine, attempt, whole(max_connections, "max_connections", least=1))
        if whole(acks, "acks", most=100) and engine.where.startswith(("fake://", "embedded://")):
            raise InvalidInput(name="acks", detail=f"{engine.where} has no replicas")
        self._calls = Calls(self._nodes, engine.where, namespace, bound, acks, round(attempt * 500))
        self._wakes = Wakes(self._nodes, namespace)

    def session(self, id: str) -> AsyncSession:
        """A handle on a session, whether it exists or not. No round trip."""
        return self._handle(id, "")

    async def create(self, id: str | None = None, **given: Unpack[NewSession]) -> AsyncSession:
        """Creates a session; without an id it gets one. Settings given here override the cache's. One round trip, atomic.

        Raises SessionExists when the id is in use.
        """
        return await self._create(id, given, get=False)

    async def get_or_create(self, id: str | None = None, **given: Unpack[NewSession]) -> AsyncSession:
        """The session of an id, as it is, or a new one; an expired one is gone, so it is replaced. One round trip, atomic."""
        return await self._create(id, given, get=True)

    async def main(self, agent_id: str, /, **given: Unpack[NewSession]) -> AsyncSession:
        """The main session of an agent, `agent:<agent_id>:main`, made when it is not there. One round trip, atomic."""
        check_id(agent_id, "agent_id", 128)
        if ":" in agent_id:
            raise InvalidInput(name="agent_id", detail=f"{agent_id!r} may not contain ':'")
        given["agent_id"], given["kind"] = agent_id, "main"
        return await self.get_or_create(f"agent:{agent_id}:main", **given)

    async def get(self, id: str) -> AsyncSession | None:
        """A handle on an existing session, or None. One round trip."""
        life = await self._calls.run(sessions.life(session_keys(self.namespace, id)))
        return None if life is None else self._handle(id, life)

    async def open(self, id: str) -> AsyncSession:
        """A handle on an existing session; raises SessionNotFound. One round trip."""
        found = await self.get(id)
        if found is None:
            raise SessionNotFound(session_id=id)
        return found

    async def leases(self, limit: int = 50, cursor: str | None = None) -> Page[LeaseInfo]:
        """Leases that are held and have not run out, those that run out first before others; at most 3 round trips a page.

        A lease is listed from a tenth of a second after it was acquired. One that is renewed while pages are read can come
        again, none is missed.
        """
        whole(limit, "limit", least=1, most=1000)
        page = await self._calls.run(leases.listed(index_keys(self.namespace, "leases"), limit, cursor))
        calls = [leases.info(session_keys(self.namespace, id), "") for id in page.items]
        found = await self._calls.run_many(calls)
        held = [lease for lease in found if isinstance(lease, LeaseInfo) and lease.expires_in > timedelta(0)]
        return Page(held, page.cursor)

    async def delete(self, id: str) -> bool:
        """Deletes a session with everything it owns; says whether it was there. One round trip, atomic."""
        return await self.session(id).delete()

    async def close(self) -> None:
        """Closes the connections this cache opened. A borrowed client stays as it is."""
        await self._wakes.close()
        await self._nodes.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _create(self, id: str | None, given: NewSession, *, get: bool) -> AsyncSession:
        described: dict[str, Any] = {
            name: value for name, value in given.items() if name in Description.__annotations__
        }
        options = {name: value for name, value in given.items() if name not in described}
        keys = session_keys(self.namespace, new_id() if id is None else id)
        fields = sessions.describe(self._count, **described)
        settings = SessionSettings.of(options, self.settings)
        _, life = await self._calls.run(sessions.create(keys, new_life(), settings, fields, get=get))
        return self._handle(keys.id, life)

    def _handle(self, id: str, life: str) -> AsyncSession:
        keys = session_keys(self.namespace, id)
        return AsyncSession(self._calls, self._wakes, keys, life, self._count, touch_on_read=self._touch_on_read)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where!r}, namespace={self.namespace!r})"
