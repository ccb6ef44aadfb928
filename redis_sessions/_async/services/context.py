"""The objects that every handle of one cache shares."""

from __future__ import annotations

from typing import NamedTuple
from weakref import ref

from ..._core.protocol.chain import Chain
from ..._core.protocol.keys import SessionKeys, session_keys
from ...bounds import StorageBounds
from ...engines import Engine
from ...models.observer import Observer
from ...settings import SessionSettings, TokenCounter
from ..transport.executor import Executor
from ..transport.notifications import NotificationHub
from ..transport.observed_executor import ObservedExecutor
from ..transport.per_loop import PerLoop
from ..transport.renewal_thread import RenewalConnections
from ..transport.router import Router
from .auditor import Auditor
from .document_categories import DocumentCategories
from .indexer import Indexer
from .run_queues import RunQueues
from .shared_scopes import SharedScopes
from .thread_index import ThreadIndex
from .watcher import Watcher

_MAX_WITH_DELTAS = 10_000


class CacheLimits(NamedTuple):
    """The time limits of a cache, the number of its connections, and the bounds of what it stores."""

    timeout: float
    retry_for: float
    max_connections: int
    acks: int
    storage: StorageBounds


class CacheParts(NamedTuple):
    """The parts of a cache that belong to one event loop: its connections, and what the loop remembers."""

    router: Router
    executor: Executor
    hub: NotificationHub
    indexer: Indexer
    run_queues: RunQueues
    watcher: Watcher
    categories: DocumentCategories
    scopes: SharedScopes

    @classmethod
    def make(
        cls, engine: Engine, namespace: str, bounds: CacheLimits, chain: Chain | None, telemetry: Observer
    ) -> CacheParts:
        """Make the parts for one event loop. Nothing is sent yet. Raises InvalidInput for an option that is not valid."""
        router = Router(engine, bounds.timeout, bounds.max_connections)
        wait_ms = round(bounds.timeout * 500)
        given = (router, engine.where, namespace, bounds.retry_for, bounds.acks, wait_ms)
        executor = ObservedExecutor(*given, telemetry) if telemetry.is_on else Executor(*given)
        executor.bounds = bounds.storage
        executor.chain = chain
        hub = NotificationHub(router, engine.where, namespace)
        indexer = Indexer(executor, namespace, is_cluster=router.is_cluster)
        executor.observer = ref(indexer)  # no circle: a cache that is dropped closes its connections at once
        run_queues = RunQueues(executor, hub, indexer, namespace)
        categories = DocumentCategories(executor, namespace)
        scopes = SharedScopes(executor, namespace, bounds.storage, is_cluster=router.is_cluster)
        return cls(router, executor, hub, indexer, run_queues, Watcher(executor, hub), categories, scopes)

    async def close(self) -> None:
        """Close the connections for good. Awaits nothing: from any thread, also after the event loop ended."""
        await self.hub.close()
        await self.executor.close()
        self.hub.notify_closed()


class CacheContext:
    """One cache, as its handles see it. The parts are those of the running event loop."""

    def __init__(
        self,
        engine: Engine,
        parts: PerLoop[CacheParts],
        renewals: RenewalConnections,
        namespace: str,
        settings: SessionSettings,
        counter: TokenCounter,
        touch_on_read: bool,
        bounds: StorageBounds,
        max_document_bytes: int,
        auditor: Auditor,
        chain: Chain | None,
        telemetry: Observer,
    ) -> None:
        self.engine = engine
        self.parts = parts
        self.renewals = renewals
        self.namespace = namespace
        self.settings = settings
        """The defaults for new sessions."""
        self.counter = counter
        self.touch_on_read = touch_on_read
        self.bounds = bounds
        self.max_document_bytes = max_document_bytes
        self.auditor = auditor
        """Tells the hook of the cache which orders succeeded."""
        self.telemetry = telemetry
        """Hears of requests and of claimed work."""
        self.chain = chain
        """The codecs for payloads."""
        self.threads = ThreadIndex(namespace)
        """The threads that have checkpoints."""
        self.with_deltas: set[str] = set()
        """The keys of sessions whose deltas the next append of this process removes. Others are removed by their TTL."""

    def keys(self, id: str) -> SessionKeys:
        """Return the keys of a session, with the codecs of the cache. Raises InvalidInput for a bad ID."""
        keys = session_keys(self.namespace, id)
        keys.chain = self.chain
        return keys

    def note_deltas(self, session: str) -> None:
        """Have the next append to a session remove its deltas."""
        if len(self.with_deltas) >= _MAX_WITH_DELTAS:
            self.with_deltas.clear()
        self.with_deltas.add(session)

    @property
    def router(self) -> Router:
        """The connections."""
        return self.parts.current.router

    @property
    def executor(self) -> Executor:
        """The executor of calls."""
        return self.parts.current.executor

    @property
    def hub(self) -> NotificationHub:
        """The subscription."""
        return self.parts.current.hub

    @property
    def indexer(self) -> Indexer:
        """The upkeep of the indexes."""
        return self.parts.current.indexer

    @property
    def run_queues(self) -> RunQueues:
        """The queues of runs and turns."""
        return self.parts.current.run_queues

    @property
    def watcher(self) -> Watcher:
        """The watched sessions."""
        return self.parts.current.watcher

    @property
    def categories(self) -> DocumentCategories:
        """The categories of documents."""
        return self.parts.current.categories

    @property
    def scopes(self) -> SharedScopes:
        """The shared scopes."""
        return self.parts.current.scopes

    async def close(self) -> None:
        """Close all connections for good."""
        if self.parts.is_used:
            await self.indexer.close()
        await self.renewals.close()
        for parts in self.parts.close():
            await parts.close()
