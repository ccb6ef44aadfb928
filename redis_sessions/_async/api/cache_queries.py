"""Methods of a cache on all its sessions: lists, counts, watches, leases, recovery, pruning, and on its documents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeAlias, Unpack

from ..._arguments import mapping, texts
from ..._core.commands import leases, list_query, watch_progress
from ..._core.commands.session_fields import check_agent
from ..._core.commands.shared import checked_scopes
from ..._core.commands.watch_pace import Stoppable, WatchPace
from ..._core.protocol.found_keys import (
    category_of,
    every_document,
    every_scope,
    every_session,
    every_thread,
    scope_of,
    session_id_of,
    thread_of,
)
from ..._core.protocol.ids import check_id
from ..._core.protocol.keys import checkpoint_keys, document_keys, index_keys, session_keys
from ..._durations import Duration, flag, milliseconds, whole
from ...errors import InvalidInput
from ...models.documents import Document
from ...models.forgetting import ForgetResult
from ...models.leases import LeaseInfo
from ...models.pages import Page
from ...models.snapshots import Snapshot
from ...models.summaries import SessionSummary
from ...models.transfer import BlobSweepResult, ReencryptResult
from ...models.workers import WorkerInfo
from ...settings import Filters, checked_names
from ..services.blob_sweeper import BlobSweeper
from ..services.context import CacheContext
from ..services.forgetting import Forgetting
from ..services.listing import SessionLister
from ..services.pruner import Pruner
from ..services.reencryption import (
    checked_codecs,
    reencrypt_documents,
    reencrypt_if_there,
    reencrypt_scope,
    reencrypt_thread,
)
from ..services.snapshots import SnapshotRequest, load_if_there
from ..services.unlisted import scan
from ..services.watch import AsyncWatch
from ..services.watch_many import ListedMembers, MemberSource, TreeMembers, watch_many
from ..services.worker_registry import list_workers
from ..transport.executor import Executor
from .checkpoints import AsyncCheckpoints
from .documents import AsyncDocuments, all_documents, delete_documents, get_documents, put_documents
from .fleet_monitor import AsyncFleetMonitor
from .shared import AsyncSharedScope

Snapshots: TypeAlias = list[Snapshot | None]


class AsyncCacheQueries:
    """All sessions and documents of one namespace."""

    namespace: str
    """The deployment or tenant."""
    _context: CacheContext

    @property
    def _executor(self) -> Executor:
        return self._context.executor

    @property
    def _lister(self) -> SessionLister:
        return SessionLister(self._context)

    async def list(
        self, limit: int = 50, cursor: str | None = None, **filters: Unpack[Filters]
    ) -> Page[SessionSummary]:
        """Return a page of sessions, newest first, or oldest first.

        Each session is read as it is now. The order by last update is exact to 2 s, and exact in a page. Each page begins where
        the page before ended. A session that is written in between moves to the first page, and of an ascending list to the
        last one. A page may hold fewer sessions than `limit`, where filters combine or many sessions expired: the cursor says
        whether there are more.

        Args:
            limit: sessions of the page, 0 to 1,000.
            cursor: the cursor of the page before, with the same filters and order.
            **filters: a session must match all of them.
                user_id, agent_id (or user, agent), label: sessions with this value.
                tags: sessions with all of these tags.
                kinds: sessions of any of these kinds (main, subagent, cron).
                active_only: only sessions that take messages. Paused ones do not.
                order: updated (last change first) or created (last creation first).
                ascending: begin with the oldest session.
                state: at most 50 names of the state. `state` of a summary has their values, read in the same round trip.

        Raises:
            InvalidInput: a filter or the cursor is not valid.

        Cost: two round trips, and two more after recent writes of this process. Where filters combine, or many sessions expired,
        two for each part of at most 1,000 index entries. The size of the index does not matter.
        """
        return await self._lister.page(_query(limit, filters), cursor)

    def iter_sessions(self, **filters: Unpack[Filters]) -> AsyncIterator[SessionSummary]:
        """Yield all sessions that `list` pages through."""
        return self._lister.iterate(_query(200, filters))

    async def count(self, **filters: Unpack[Filters]) -> int:
        """Return how many sessions there are.

        With at most one filter the index is counted: changes of the last second by other processes may be missing, expired
        sessions count until they are met or recovered, and paused sessions count as active.

        Cost: one round trip with at most one filter. Where filters combine, the sessions are listed.
        """
        return await self._lister.count(_query(1000, filters))

    async def leases(self, limit: int = 50, cursor: str | None = None) -> Page[LeaseInfo]:
        """Return a page of leases that are held, those that run out first before the others.

        A lease is listed from 0.1 s after it was acquired. A lease that is renewed between two pages may come again.

        Args:
            limit: leases of the page, 1 to 1,000.
            cursor: the cursor of the page before.

        Cost: two round trips.
        """
        whole(limit, "limit", minimum=1, maximum=1000)
        page = await self._executor.run(leases.list_page(index_keys(self.namespace, "leases"), limit, cursor))
        calls = [leases.info(session_keys(self.namespace, id), "") for id in page.items]
        found = await self._executor.run_many(calls)
        held = [lease for lease in found if isinstance(lease, LeaseInfo) and lease.expires_in > timedelta(0)]
        return Page(held, page.cursor)

    async def workers(
        self, agent_id: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[WorkerInfo]:
        """Return a page of the workers that run, those that are silent for longest before the others.

        A worker that stops leaves the list. A worker that died stays for an hour, with `is_alive` False. A worker that is heard
        again between two pages may come again.

        Args:
            agent_id: only workers of this agent.
            limit: workers of the page, 1 to 1,000. A page whose workers hold very many sessions may have fewer.
            cursor: the cursor of the page before.

        Cost: one round trip. With an agent, one for each 1,000 workers that are read.
        """
        whole(limit, "limit", minimum=1, maximum=1000)
        if agent_id is not None:
            check_agent(agent_id)
        return await list_workers(self._executor, self.namespace, agent_id, limit, cursor)

    def monitor(self, max_sessions: int = 10_000, *, stuck_after: Duration = "60s") -> AsyncFleetMonitor:
        """Return a monitor of the fleet: its load, what is wrong, sessions, workers, servers. No round trip.

        Args:
            max_sessions: active sessions that it keeps, 1 to 100,000.
            stuck_after: time after which a holder that writes nothing, or work that waits, counts as a problem.

        Raises:
            InvalidInput: an option is not valid.
        """
        most = whole(max_sessions, "max_sessions", minimum=1, maximum=100_000)
        stuck_ms = milliseconds(stuck_after, "stuck_after")
        return AsyncFleetMonitor(self._context, most, timedelta(milliseconds=stuck_ms))

    def documents(self, category: str) -> AsyncDocuments:
        """Return a handle on the documents of a category, such as `notes` or `notes/2026`. No round trip.

        Raises InvalidInput for a category that is empty, longer than 256 characters, not printable, begins or ends with '/', or
        contains '//', '..', a backslash or braces.
        """
        keys = document_keys(self.namespace, category)
        return AsyncDocuments(self._context, keys, self._context.max_document_bytes)

    async def categories(self, limit: int = 50, cursor: str | None = None, *, prefix: str = "") -> Page[str]:
        """Return a page of categories that hold documents, ascending.

        Args:
            limit: categories of the page, 1 to 100,000.
            cursor: the cursor of the page before.
            prefix: return only categories that begin with this text.

        Cost: two round trips on one server, and more for each 1,000 categories of the page and each batch of empty ones. Each
        page reads all names, or with a prefix those that begin with it, in one round trip for each 10,000 categories.
        """
        if not isinstance(prefix, str):
            raise InvalidInput(name="prefix", detail=f"must be text, got {prefix!r}")
        return await self._context.categories.page(limit, cursor, prefix)

    async def get_documents(
        self, names: Mapping[str, Collection[str]], *, touch: bool = False
    ) -> dict[str, dict[str, Document]]:
        """Return documents of several categories, by category and name. See `Documents.get_many`.

        Args:
            names: the names of each category.
            touch: let each document with a ttl live for it from now.

        Cost: one round trip to each node, and more for each 1 MB of a category.
        """
        return await get_documents(
            self._context,
            {document_keys(self.namespace, one): wanted for one, wanted in mapping(names, "names").items()},
            touch,
        )

    async def put_documents(self, values: Mapping[str, Mapping[str, Any]], *, ttl: Duration | None = None) -> None:
        """Store documents in several categories. See `Documents.put_many`.

        Args:
            values: the values of each category by name.
            ttl: the time after which the documents expire. Default: never.

        Cost: one round trip to each node. One more to register categories that this process did not write within the hour.
        """
        given = {document_keys(self.namespace, one): put for one, put in mapping(values, "values").items()}
        await put_documents(self._context, given, self._context.max_document_bytes, ttl)

    async def all_documents(self, categories: Collection[str]) -> Mapping[str, Sequence[Document]]:
        """Return all documents of some categories, by category, sorted by name and form. See `Documents.all`.

        Cost: two round trips to each node, and more for each 1 MB of a category.
        """
        return await all_documents(
            self._context,
            [document_keys(self.namespace, one) for one in dict.fromkeys(texts(categories, "categories"))],
        )

    async def delete_documents(self, names: Mapping[str, Collection[str]]) -> int:
        """Delete documents of several categories. Return how many there were. See `Documents.delete_many`.

        Args:
            names: the names of each category.

        Cost: one round trip to each node.
        """
        given = {document_keys(self.namespace, one): gone for one, gone in mapping(names, "names").items()}
        return await delete_documents(self._context, given)

    def checkpoints(self, thread: str, *, ttl: Duration | None = None) -> AsyncCheckpoints:
        """Return a handle on the checkpoints of a thread, for graph frameworks. No round trip.

        Args:
            thread: the thread, 1 to 256 printable characters without white space and braces.
            ttl: the idle time after which the thread expires as a whole. Each write of this handle sets it. Default: never.

        Raises:
            InvalidInput: an argument is not valid.
        """
        ttl_ms = 0 if ttl is None else milliseconds(ttl, "ttl")
        return AsyncCheckpoints(self._context, checkpoint_keys(self.namespace, thread), ttl_ms)

    async def threads(self, limit: int = 50, cursor: str | None = None, *, labels: Collection[str] = ()) -> Page[str]:
        """Return a page of threads that have checkpoints, ascending. A page can be shorter than the limit.

        Args:
            limit: threads that are looked at, 1 to 1,000.
            cursor: the cursor of the page before.
            labels: return only threads with a checkpoint that has one of these labels.

        Cost: two round trips on one server, three with labels, and three more when expired threads are met.
        """
        return await self._context.threads.page(self._executor, limit, cursor, texts(labels, "labels"))

    async def load(self, ids: Sequence[str], *, limit: int | None = None, shared: Sequence[str] = ()) -> Snapshots:
        """Return a Snapshot for each ID, in order, or None where no session has the ID. See `session.load`.

        Each snapshot is as of one moment. Different sessions may have different moments.

        Args:
            ids: IDs of sessions.
            limit: messages of each session, 0 or more. Default: all that each retains.
            shared: scopes of `cache.shared` whose values all snapshots have.

        Raises:
            InvalidInput, InvalidState, SessionDamaged, ConcurrentModification: as for `session.load`.

        Cost: one round trip to each node. Of each session that has more than 1,000 messages or 1 MiB, one more for each page.
        """
        size = None if limit is None else whole(limit, "limit")
        wanted = [SnapshotRequest(self._context.keys(id), limit=size) for id in texts(ids, "ids")]
        return await load_if_there(self._context, wanted, checked_scopes(shared))

    def shared(self, scope: str, *, ttl: Duration | None = None) -> AsyncSharedScope:
        """Return a handle on a shared scope: JSON values by name outside of sessions, such as those of an application or a user.

        No round trip. A scope exists as long as it has values.

        Args:
            scope: 1 to 256 printable characters without white space and braces, such as what `compose_id` makes.
            ttl: how long the scope lives after each write from now on, 0.001 s to 100 years. Default: as before, at first for
                ever.

        Raises:
            InvalidInput: an argument is not valid.
        """
        ttl_ms = None if ttl is None else milliseconds(ttl, "ttl")
        return AsyncSharedScope(self._context, self._context.scopes.keys_of(scope), ttl_ms)

    async def scopes(self, prefix: str = "", limit: int = 50, cursor: str | None = None) -> Page[str]:
        """Return a page of shared scopes that hold values, ascending by their bytes.

        Args:
            prefix: return only scopes whose names begin with this text.
            limit: scopes of the page, 1 to 1,000.
            cursor: the cursor of the page before.

        Cost: two round trips on one server, and two for each batch of empty scopes.
        """
        return await self._context.scopes.page(prefix, limit, cursor)

    async def reencrypt(self) -> AsyncIterator[ReencryptResult]:
        """Store all values again with the present codecs and the current key, session by session, then checkpoints and documents.

        Sessions stay in use. A value that changes in the meantime stays, because its writer encodes it. Values that `encode`
        does not name become plain. Deltas stay as they are, because the next message removes them. Repeat the call until nothing
        is replaced, then take the old key out of the ring. The last call must not run while slots of a cluster move.

        Yields:
            The outcome for each session, thread, category and shared scope: how many values were replaced, or the problem.

        Raises:
            InvalidInput: the cache has no codecs.
            AccessDenied: the user may not SCAN. Everything is found by its key, so that what no list names is found, too.

        Cost: for each session six round trips, and more for each 200 messages, and for each 50 values or 1 MB that are replaced.
        """
        checked_codecs(self._context)
        async for key in scan(self._context, every_session(self.namespace)):
            id = session_id_of(self.namespace, key)
            found = None if id is None else await reencrypt_if_there(self._context, id)
            if found is not None:
                yield found
        async for key in scan(self._context, every_thread(self.namespace)):
            thread = thread_of(self.namespace, key)
            if thread is not None:
                yield await reencrypt_thread(self._context, thread)
        async for key in scan(self._context, every_document(self.namespace)):
            category = category_of(self.namespace, key)
            if category is not None:
                yield await reencrypt_documents(self._context, category)
        async for key in scan(self._context, every_scope(self.namespace)):
            scope = scope_of(self.namespace, key)
            if scope is not None:
                yield await reencrypt_scope(self._context, self._context.scopes.keys_of(scope))

    async def sweep_blobs(
        self,
        grace: Duration = "1d",
        *,
        dry_run: bool = False,
        progress: Callable[[BlobSweepResult], object] | None = None,
    ) -> BlobSweepResult:
        """Remove the files of the blob store to which nothing refers any more, while the fleet works.

        A server does not tell which sessions expired, so files stay until a sweep. Run it each day, by one process.

        Args:
            grace: younger files stay, because a writer may be about to refer to them. 10 minutes or more.
            dry_run: count, and remove nothing.
            progress: is called with the counts so far.

        Raises:
            InvalidInput: the cache has no `Offload`, or the grace is too short.
            AccessDenied: the user may not SCAN.
            BlobStoreUnavailable: the store does not answer. Files that were removed before stay removed.
            StoreUnavailable: a server does not answer, or a slot of a cluster has no master. Nothing was removed since the last
                reading.

        Cost: reads all sessions, documents and checkpoints of the namespace, 50 values or 2 MB a round trip. Once for each
        200,000 files that are older than the grace, twice in a cluster.
        """
        return await BlobSweeper(self._context, grace, flag(dry_run, "dry_run"), progress).run()

    async def recover(self, agent_id: str | None = None) -> int:
        """Check the runs and turns whose worker died or whose time is over. Without an agent check all inboxes, too.

        A check moves the inbox of a session whose holder died into the transcript. Workers check the work of their agents while
        they wait. Each effect happens once, by the process that checks first.

        Args:
            agent_id: check only the runs and turns of this agent.

        Returns:
            The number of runs and turns that were checked.
        """
        if agent_id is not None:
            check_agent(agent_id)
        checked = 0
        for agent in [agent_id] if agent_id is not None else await self._context.run_queues.agents():
            while (count := await self._context.run_queues.recover(agent)) > 0:
                checked += count
        return checked

    def watch(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        user: str | None = None,
        agent: str | None = None,
        tree: str | None = None,
        after: Mapping[str, int | str | tuple[int, int]] | None = None,
        timeout: Duration | None = None,
        heartbeat: Duration | None = None,
        stop: Stoppable | None = None,
    ) -> AsyncWatch:
        """Yield the events of all sessions of a user or an agent, or of a tree, also of sessions that are created later.

        The events of each session are in order, each once, as `session.watch` has them. An end of one session ends no other's
        events: that session yields `deleted` or `regressed`. Messages that are damaged, or that this cache cannot decrypt, are a
        `gap`, and a damaged session is left out, with a warning in the log. New sessions are found within a second.

        Args:
            user_id: watch the sessions of this user (short: `user`).
            agent_id: watch the sessions of this agent (short: `agent`).
            tree: watch the session with this ID and all sessions below it.
            after: where to begin, by session ID: a cursor, a seq, or a seq and a change. Sessions that are not named begin with
                what comes from now on. Name sessions that were created while nothing watched with 0.
            timeout: end the watch when nothing happens for this time. Default: never.
            heartbeat: yield a `heartbeat` event after each such time in which nothing happened, 0.1 s to a day. Default: none.
            stop: end the watch within 0.25 s after this event is set.

        Raises:
            InvalidInput: not exactly one of user_id, agent_id and tree is given, or they have more than 1,000 active sessions.
            SessionNotFound: the root of the tree does not exist.
            StoreUnavailable: the server did not answer for `retry_for`.
        """
        user_id = list_query.one_of("user_id", user_id, "user", user)
        agent_id = list_query.one_of("agent_id", agent_id, "agent", agent)
        if sum(one is not None for one in (user_id, agent_id, tree)) != 1:
            raise InvalidInput(name="watch", detail="needs exactly one of user_id, agent_id and tree")
        pace = WatchPace(timeout, heartbeat, stop)
        positions = watch_progress.parse_positions(after or {})
        source: MemberSource
        source = ListedMembers(self._lister, user_id, agent_id) if tree is None else TreeMembers(self._context, tree)
        return watch_many(self._context, source, positions, pace)

    async def prune(
        self,
        max_sessions: int = 0,
        max_age: Duration = 0,
        *,
        cooldown: Duration = 0,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Delete sessions that were updated longer ago than `max_age`, then the oldest ones beyond `max_sessions`.

        A tree is deleted as a whole, by its root. A root with active children, or whose lease is held, stays. A session that is
        written in between stays, too.

        Args:
            max_sessions: roots to keep. 0 for any number.
            max_age: time since the last update. 0 for any.
            cooldown: return 0 if a process of the fleet pruned within its cooldown.
            dry_run: delete nothing, and return how many would be deleted.
            progress: called with how many were deleted so far.

        Returns:
            How many roots were deleted.

        Cost: about six round trips for each 100 deletions. With `max_sessions` all sessions are read.
        """
        most = whole(max_sessions, "max_sessions")
        age_ms, cooldown_ms = (
            milliseconds(value, name, minimum=0, bounds="0 or more")
            for value, name in ((max_age, "max_age"), (cooldown, "cooldown"))
        )
        flag(dry_run, "dry_run")
        pruner = Pruner(self._context, self._lister)
        if (most == 0 and age_ms == 0) or (not dry_run and not await pruner.may_begin(cooldown_ms)):
            return 0
        try:
            return await pruner.run(most, age_ms, dry_run, progress)
        finally:
            if pruner.removed and not dry_run:
                await self._context.auditor.record("prune", details={"sessions": pruner.removed})

    async def forget(self, user_id: str, *, find_unlisted: bool = False, documents: bool = True) -> ForgetResult:
        """Remove all sessions of a user, and all mentions of them in other keys. Repeat the call after an error.

        With each session go all sessions below it, its leases, its places in queues and indexes, and its channel. Where the
        parent belongs to another user, the text of the result is erased from the parent's messages. The guide on privacy lists
        the data that is removed, and the data that is not.

        Args:
            user_id: the user.
            find_unlisted: also read the names of all keys, and so find sessions whose index entries were lost. Needs the right
                to SCAN.
            documents: also delete the categories of documents whose path ends with the user's ID, such as `users/mia`. A
                category `mia` or `users/mia/notes` stays.

        Returns:
            The numbers of what was removed. Sessions that are created while the call runs stay: `remaining` counts them.

        Raises:
            InvalidInput: the user ID is not valid.
            AccessDenied: `find_unlisted` needs the right to SCAN.
            SessionDamaged: a result could not be erased from a damaged session of another user. All else was removed. Repair
                that session (`redis-sessions doctor --repair`) or delete it, and repeat the call.
            StoreUnavailable, OutcomeUnknown: a server did not answer. A repeated call goes on where this one ended.

        Cost: about thirty round trips, twelve more for each 100 sessions, and about twenty for each session with a tree. The
        number of other sessions does not matter. Waits up to 20 s if entries of the user name sessions that do not exist,
        because these can be under creation.
        """
        forgetting = Forgetting(self._context, check_id(user_id, "user_id"))
        flag(find_unlisted, "find_unlisted")
        flag(documents, "documents")
        is_complete = False
        try:
            result = await forgetting.run(find_unlisted=find_unlisted, documents=documents)
            is_complete = True
        finally:
            counts = {name: value for name, value in forgetting.result()._asdict().items() if isinstance(value, int)}
            if is_complete or any(counts.values()):
                details = {**counts, "is_complete": is_complete}
                await self._context.auditor.record("forget", user_id=user_id, details=details)
        return result


def _query(limit: int, filters: Filters) -> list_query.Query:
    checked_names(filters, Filters)
    return list_query.query(limit=limit, **filters)
