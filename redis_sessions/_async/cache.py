"""The session cache: where sessions are created, found and deleted."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, Unpack

from .._core import conversations, descriptions, sessions, trees
from .._core.codec import LARGEST_MESSAGE, TokenCounter, estimate_tokens
from .._core.ids import check_namespace, new_id, new_life
from .._core.keys import channel_keys, session_keys
from .._core.units import Duration, milliseconds, whole
from ..engines import Engine, from_client, from_url
from ..errors import InvalidInput, SessionExists, SessionNotFound
from ..models.transfer import Existing, ImportResult
from ..settings import CacheOptions, Description, NewSession, SessionSettings
from . import background, io, transfer
from .calls import Calls
from .catalog import AsyncCatalog
from .documents import Categories
from .home import Home
from .indexes import Indexes
from .listing import Listing
from .nodes import Nodes
from .queues import Queues
from .runs import AsyncRun
from .session import AsyncSession
from .wakes import Wakes
from .watching import Watches
from .worker import Handler, Worker, claim


class AsyncSessionCache(AsyncCatalog):
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
        a session's life. `max_document_bytes` (1 MiB, at most 64) is for each document. The rest are the defaults for new
        sessions, see SessionSettings. Raises InvalidInput.
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
        max_document_bytes: int = 1024 * 1024,
        **settings: Any,
    ) -> None:
        self.namespace = check_namespace(namespace)
        known = CacheOptions.__annotations__
        for name in settings.keys() - known.keys():
            raise InvalidInput(name=name, detail=f"there is no such option; there are {', '.join(sorted(known))}")
        self.settings = SessionSettings.of(dict(settings))
        self.engine = engine
        self.where = engine.where
        self._count = token_counter
        bound = milliseconds(retry_for, "retry_for") / 1000
        attempt = min(milliseconds(timeout, "timeout") / 1000, bound)
        self._nodes = Nodes(engine, attempt, whole(max_connections, "max_connections", least=1))
        if whole(acks, "acks", most=100) and engine.where.startswith(("fake://", "embedded://")):
            raise InvalidInput(name="acks", detail=f"{engine.where} has no replicas")
        self._calls = Calls(self._nodes, engine.where, namespace, bound, acks, round(attempt * 500))
        self._document_bytes = whole(max_document_bytes, "max_document_bytes", least=1, most=LARGEST_MESSAGE)
        self._categories = Categories(self._calls, namespace)
        self._wakes = Wakes(self._nodes, namespace)
        indexes = Indexes(self._calls, namespace, is_apart=self._nodes.is_cluster)
        self._calls.indexes = indexes
        queues = Queues(self._calls, self._wakes, indexes, namespace)
        watches = Watches(self._calls, self._wakes)
        self._home = Home(
            self._calls, self._wakes, queues, indexes, watches, namespace, self.settings, token_counter, touch_on_read
        )
        self._listing = Listing(self._home)

    def session(self, id: str) -> AsyncSession:
        """A handle on a session, whether it exists or not. No round trip."""
        return self._handle(id, "")

    async def create(self, id: str | None = None, **given: Unpack[NewSession]) -> AsyncSession:
        """Creates a session; without an id it gets one. Settings given here override the cache's. One round trip, atomic.

        Raises SessionExists when the id is in use.
        """
        return await self._create(id, given, get=False)

    async def get_or_create(self, id: str | None = None, **given: Unpack[NewSession]) -> AsyncSession:
        """The session of an id, as it is, or a new one; an expired one is gone, so it is replaced. One round trip, two when it
        is made; atomic.
        """
        return await self._create(id, given, get=True)

    async def main(self, agent_id: str, /, **given: Unpack[NewSession]) -> AsyncSession:
        """The main session of an agent, `agent:<agent_id>:main`, made when it is not there. See get_or_create."""
        trees.check_agent(agent_id)
        given["agent_id"], given["kind"] = agent_id, "main"
        return await self.get_or_create(f"agent:{agent_id}:main", **given)

    async def conversation(
        self, channel: str, *, inactivity: Duration = 1800.0, **given: Unpack[NewSession]
    ) -> AsyncSession:
        """The session that a channel (a user, a thread) talks in; the next one when it was idle for longer, ended or is gone.

        The next one names the previous (`info().formation`) and is made of `given`, like those of `create`. Of many who ask
        at once, one forms it. Two round trips, three when one is formed; atomic.
        """
        keys = channel_keys(self.namespace, channel)
        fields, settings = self._described(given)
        idle_ms = milliseconds(inactivity, "inactivity")
        found = await self._calls.run(conversations.channel(keys))
        form = not found
        while True:
            current = session_keys(self.namespace, found) if found else None
            following = session_keys(self.namespace, new_id(keys.tag))
            call = conversations.converse(keys, current, following, new_life(), idle_ms, settings, fields, form=form)
            if form:
                call.ahead = self._home.indexes.announce(following, fields, settings.ttl_ms)
            verdict, told = await self._calls.run(call)
            if form and verdict != "formed":
                self._home.indexes.later([following.id])
            if verdict in ("current", "formed"):
                return self._handle(found if verdict == "current" else following.id, told)
            form = verdict == "idle" or (verdict == "other" and not told)
            found = told

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

    async def by_label(self, label: str, *, root: str) -> AsyncSession | None:
        """The session that has, or had last, a label in a root's tree; or None. One round trip. Raises SessionNotFound."""
        found = await self._calls.run(trees.labelled(session_keys(self.namespace, root), label))
        return None if found is None else self._handle(found, "")

    async def claim(
        self, agent_id: str, *, wait: Duration = 0.0, ttl: Duration = 30.0, owner: str | None = None
    ) -> AsyncRun | None:
        """The run of an agent that has waited longest, with its lease, for exactly one worker; None when none comes in `wait`.

        Waiting costs one command in 5 s, with which it also looks after runs whose worker died or whose time is over. `ttl`
        is how long the lease outlives a worker that dies; it is renewed while the run is held. Two round trips, one when it
        is woken. Raises InvalidInput.
        """
        return await claim(self._home, agent_id, wait, ttl, owner)

    async def worker(
        self,
        agent_id: str,
        handler: Handler,
        *,
        concurrency: int = 1,
        ttl: Duration = 30.0,
        grace: Duration = 30.0,
        owner: str | None = None,
        stop: background.Waitable | None = None,
    ) -> None:
        """Works on an agent's runs until SIGTERM, SIGINT, or `stop` is set: `concurrency` at once, each by `handler(run)`.

        What the handler returns is the run's result. When it raises, the run is given back and tried again after 0.5 s, twice
        that the next time, 60 s at the most; the last attempt's error is why it failed. Once stopped it takes no more runs and
        gives those it has `grace` seconds; then they are given back.
        """
        worker = Worker(self._home, agent_id, handler, concurrency, ttl, grace, owner)
        if stop is not None:
            background.spawn(_when, stop, worker.stop)
        await worker.work()

    async def import_sessions(self, lines: io.Lines, *, existing: Existing = "refuse") -> ImportResult:
        """Puts what `session.export()` gave in place: all its sessions at once, or nothing. Lines with or without newlines.

        They keep ids, seqs, times, state, ledger and fences; each lives for its idle ttl from now, never past its deadline.
        Runs that wait for a worker can be claimed. `existing` is what happens when any of the sessions is there already: it is
        refused, all of them are skipped, or what is there is replaced, with the whole tree. Repeating it is safe.

        The lines are checked and kept in a temporary file before anything is written. One round trip for each session and each
        line of messages, two for each run, one to move all. Raises InvalidInput (which names the line, or a session whose life
        is over), SessionExists, SessionChanged, OutcomeUnknown.
        """
        return await transfer.import_sessions(self._home, lines, existing)

    async def delete(self, id: str) -> bool:
        """Deletes a session with everything it owns, and all below it; says whether it was there. See Session.delete."""
        return await self.session(id).delete()

    async def close(self) -> None:
        """Closes the connections this cache opened. A borrowed client stays as it is."""
        await self._home.indexes.close()
        await self._wakes.close()
        await self._nodes.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _create(self, id: str | None, given: NewSession, *, get: bool) -> AsyncSession:
        fields, settings = self._described(given)
        keys = session_keys(self.namespace, new_id() if id is None else id)
        life = new_life()
        if get:
            _, known = await self._calls.run(sessions.create(keys, life, settings, fields, get="only"))
            if known:
                return self._handle(keys.id, known)
        call = sessions.create(keys, life, settings, fields, get="too" if get else "")
        call.ahead = self._home.indexes.announce(keys, fields, settings.ttl_ms)
        try:
            created, known = await self._calls.run(call)
        except SessionExists:
            self._home.indexes.later([keys.id])
            raise
        if not created:
            self._home.indexes.later([keys.id])
        return self._handle(keys.id, known)

    def _described(self, given: NewSession) -> tuple[dict[str, Any], SessionSettings]:
        described: dict[str, Any] = {
            name: value for name, value in given.items() if name in Description.__annotations__
        }
        options = {name: value for name, value in given.items() if name not in described}
        return descriptions.describe(self._count, **described), SessionSettings.of(options, self.settings)

    def _handle(self, id: str, life: str) -> AsyncSession:
        keys = session_keys(self.namespace, id)
        keys.learn(self._calls.ancestors(id))
        return AsyncSession(self._home, keys, life)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where!r}, namespace={self.namespace!r})"


async def _when(event: background.Waitable, function: Callable[[], None]) -> None:
    await event.wait()
    function()
