"""The session cache: it creates, finds and deletes sessions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack
from weakref import finalize

from ..._core.commands import conversations, sessions, trees
from ..._core.commands.creation import Creation
from ..._core.commands.retry_policy import Backoff, RetryOn
from ..._core.commands.session_fields import check_agent
from ..._core.protocol.ids import is_incarnation, new_id, new_incarnation, new_or_given_id
from ..._core.protocol.keys import channel_keys, session_keys
from ..._durations import Duration, flag, milliseconds, whole
from ..._log_events import OPTIONS_DIFFER
from ..._pickling import PicklableByUrl
from ...engines import Engine, for_kind, from_client, from_url
from ...errors import InvalidInput, SessionExists, SessionNotFound
from ...models.transfer import ImportResult, OnConflict
from ...settings import (
    CacheOptions,
    NewSession,
)
from ..services import export_import
from ..services.setup import make_context
from ..transport import primitives, tasks
from .cache_queries import AsyncCacheQueries
from .claimer import claim_run
from .ensured_session import AsyncEnsuredSession
from .run import AsyncRun
from .session import AsyncSession
from .worker import Handler, Worker


class AsyncSessionCache(PicklableByUrl, AsyncCacheQueries):
    """The sessions of one namespace on one server or cluster. All workers that name the same share them.

    `from_url` makes its own connections. The constructor copies the connection settings of a redis-py client, and never uses
    or closes the client itself. Close a cache, or use it in a `with` block. One cache serves a whole process: all its event
    loops, tasks and threads.
    """

    def __init__(self, client: Any, **options: Unpack[CacheOptions]) -> None:
        """Make a cache with the connection settings of a redis-py client, or of another cache. See `from_url` for the options.

        Args:
            client: a client of redis or of redis.asyncio: standalone, cluster, or that of a Sentinel master. Or a cache of either
                kind, whose options count unless others are given. Also an embedded or fake server can be shared so.
            **options: the options of `from_url`.

        Raises:
            InvalidInput: the client or an option is not valid.
        """
        if isinstance(client, PicklableByUrl):
            self._set_up(for_kind(client.engine, is_async=primitives.ASYNC), {**client._options, **options})
            client.engine.share()
            self._origin = None if options else client._origin
            return
        engine = from_client(client, is_async=primitives.ASYNC)
        self._set_up(engine, {**engine.cache_options, **options})

    @classmethod
    def from_url(cls, url: str, **options: Unpack[CacheOptions]) -> Self:
        """Make a cache for a URL. Nothing is sent yet.

        Args:
            url: redis://, rediss://, unix://, redis+sentinel://, redis+cluster://, embedded://[path] or fake://. The options
                of its query count more than the arguments. See the reference of settings.
            namespace: the deployment or tenant. Default "sessions".
            timeout: bounds one attempt of a call. Default 5 s.
            retry_for: bounds a call with all its retries. Default 10 s.
            max_connections: connections to each node, for threads. Default 50. A thread waits for a free one.
            address_remap: maps the addresses that nodes and sentinels name to those that can be reached from here. A function
                from (host, port) to (host, port), or rules such as "10.0.0.1:7001=localhost:17001,*=localhost".
            acks: replicas that must acknowledge each write, 0 to 100. Default 0. Fewer within half of `timeout` raise
                NotReplicated.
            token_counter: counts the tokens of a payload when it is appended. Default: `estimate_tokens`, a quarter of the
                bytes that a model sees.
            image_tokens: the tokens of an image, a recording or a file in the default count, 0 to 1,000,000. Default 1,000.
            touch_on_read: let `history` extend a session's life. Default False.
            max_document_bytes: largest document, 1 byte to 64 MiB. Default 1 MiB.
            bounds: the bounds of stored data, as StorageBounds or a mapping. Default: those of StorageBounds.
            audit: called with an AuditRecord after each order that succeeded: delete, cancel, force release, forget, import and
                prune. Errors of the function are logged.
            actor: the name that these records have, at most 128 characters. Default: '<host>:<process ID>'.
            codecs: codecs that payloads go through in this order, such as `Zstd` and `AesGcm`. Default: none.
            encode: the values that go through the codecs: messages, state, results, metadata, documents, deltas, checkpoints.
                Default: messages. Encoded values are decoded in any case.
            telemetry: OpenTelemetry traces and metrics of this cache, a `redis_sessions.telemetry.Telemetry`. Default: none.
            **options: the defaults for new sessions. See SessionSettings.

        Raises:
            InvalidInput: the URL or an option is not valid.
        """
        cache = cls.__new__(cls)
        engine = from_url(url)
        cache._set_up(engine, {**options, **engine.cache_options})
        if not engine.is_private:
            cache._origin = url, options
        return cache

    def _set_up(self, engine: Engine, options: Mapping[str, Any]) -> None:
        self._options = options
        self._context = context = make_context(engine, **options)
        self.namespace = context.namespace
        self.settings = context.settings
        """The defaults for new sessions."""
        self.engine = context.engine
        self._release = finalize(self, context.engine.release)  # also of a cache that is dropped without being closed
        self._release.atexit = False
        self.where = context.engine.where
        """The server, as errors name it: the URL without its password."""
        self._counter = context.counter

    async def ping(self) -> None:
        """Return when the server, or every master of a cluster, has answered. For checks of health.

        Raises:
            StoreUnavailable: a node did not answer within `timeout`. Nothing is retried.
            AccessDenied: the user or the password is refused.

        Cost: one round trip to each node.
        """
        await self._executor.ping()

    def session(self, id: str, *, incarnation: str | None = None) -> AsyncSession:
        """Return a handle on a session, whether it exists or not. No round trip.

        Args:
            id: the ID of the session.
            incarnation: the incarnation that another handle named. The handle refuses any other one (SessionReplaced).
        """
        if incarnation is not None and not is_incarnation(incarnation):
            raise InvalidInput(name="incarnation", detail=f"must be 12 hex digits, got {incarnation!r}")
        return self._handle(id, incarnation or "")

    async def create(self, id: str | None = None, **given: Unpack[NewSession]) -> AsyncSession:
        """Create a session.

        Args:
            id: the ID, 1 to 256 printable characters without white space and braces. Default: a new one. The IDs
                `agent:<agent>:main` and `agent:<agent>:subagent:…` are reserved for `main_session` and `spawn`.
            **given: the description (user_id, agent_id, kind, name, type, tags, parent_id, metadata, system_prompt, formation,
                format, answered_by, priority, fairness_key), the first `state`, and the options, which override the cache's
                defaults. See SessionSettings.

        Raises:
            SessionExists: a session has this ID.
            InvalidInput: an argument is not valid.

        Cost: one round trip, atomic.
        """
        return await self._create(id, given)

    async def get_or_create(self, id: str | None = None, **given: Unpack[NewSession]) -> AsyncSession:
        """Return the session with an ID as it is, or create it. Takes the arguments of `create`.

        If the session exists with other options than given, the handle's `unapplied_options` says which, and a warning is logged.

        Cost: one round trip. Two when the session is created. Atomic.
        """
        return await self._get_or_create(new_or_given_id(id), given)

    async def main_session(self, agent_id: str, /, **given: Unpack[NewSession]) -> AsyncSession:
        """Return the main session of an agent, `agent:<agent_id>:main`, or create it. See `get_or_create`."""
        check_agent(agent_id)
        given["agent_id"], given["kind"] = agent_id, "main"
        return await self._get_or_create(f"agent:{agent_id}:main", given)

    async def conversation(
        self, channel: str, *, inactivity: Duration = 1800.0, **given: Unpack[NewSession]
    ) -> AsyncSession:
        """Return the session that a channel, such as a user or a chat thread, talks in. Form the next one if need be.

        The next session is formed when the current one was idle for `inactivity`, has ended, or is gone. A session is not idle
        while its lease is held, or a child of it is active. The next session names the session before (`info().formation`). Of
        many callers at once, one forms it.

        Args:
            channel: 1 to 256 printable characters without white space and braces.
            inactivity: the idle time after which the next session is formed.
            **given: the arguments of `create`, for the next session.

        Cost: two round trips. Three when the next session of a channel is formed. Atomic.
        """
        keys = channel_keys(self.namespace, channel)
        fields, settings = self._creation(given)
        fields["channel"] = channel
        await self._register_agent(fields)
        idle_ms = milliseconds(inactivity, "inactivity")
        current_id = await self._executor.run(conversations.current_id(keys))
        may_form = not current_id
        while True:
            current = session_keys(self.namespace, current_id) if current_id else None
            following = self._context.keys(new_id(keys.tag))
            call = conversations.get_or_create(
                keys, current, following, new_incarnation(), idle_ms, settings, fields, may_form=may_form
            )
            if may_form:
                with self._context.indexer.creation(following, fields, settings.ttl_ms) as call.hints:
                    reply = await self._executor.run(call)
            else:
                reply = await self._executor.run(call)
            if may_form and reply.verdict != "formed":
                self._context.indexer.repair_later([following.id])
            if reply.verdict == "current":
                return self._handle(current_id, reply.value)
            if reply.verdict == "formed":
                return self._handle(following.id, reply.value)
            may_form = reply.verdict == "idle" or not reply.value
            current_id = reply.value

    def ensure(self, id: str, **given: Unpack[NewSession]) -> AsyncSession:
        """Return a handle whose first write creates the session, in the same script, if it does not exist. No round trip.

        `append`, `append_new`, `send`, `replace`, the lease, and writes of the state, the variables and parts create the session.
        A refused write creates nothing. All other methods raise SessionNotFound as long as the session does not exist. A session
        that exists stays as it is. After a deletion or an expiry the next write of the handle creates a new session. The handle
        never raises SessionReplaced and SessionRegressed.

        Args:
            id: the ID of the session.
            **given: the arguments of `create`, for a new session.

        Raises:
            InvalidInput: an argument is not valid.

        Cost: none. A write takes one round trip, whether it creates the session or not. A write takes two when this process wrote
        the session within the last minutes and the session is gone since, or when this process names the agent in `answered_by`
        for the first time in an hour.
        """
        return AsyncEnsuredSession(self._context, self._context.keys(new_or_given_id(id)), self._creation(given))

    async def get(self, id: str) -> AsyncSession | None:
        """Return a handle on an existing session, or None. One round trip."""
        incarnation = await self._executor.run(sessions.incarnation_of(session_keys(self.namespace, id)))
        return None if incarnation is None else self._handle(id, incarnation)

    async def open(self, id: str) -> AsyncSession:
        """Return a handle on an existing session. One round trip. Raises SessionNotFound."""
        found = await self.get(id)
        if found is None:
            raise SessionNotFound(session_id=id)
        return found

    async def by_label(self, label: str, *, root: str) -> AsyncSession | None:
        """Return the session that has a label in the tree of a root, or had it last, or None. One round trip.

        Raises SessionNotFound when the root does not exist.
        """
        found = await self._executor.run(trees.find_by_label(session_keys(self.namespace, root), label))
        return None if found is None else self._handle(found, "")

    async def claim(
        self,
        agent_id: str | Sequence[str],
        *,
        wait: Duration = 0.0,
        ttl: Duration = 30.0,
        owner: str | None = None,
        max_hold: Duration | None = None,
    ) -> AsyncRun | None:
        """Claim the next run or turn of an agent, with the lease of its session, for exactly one worker.

        A higher priority is served first. At the same priority the fairness keys are served in turn, and the work of each key in
        the order of its arrival. A claim counts no attempt.

        Args:
            agent_id: the agent, or several.
            wait: how long to wait for a run or turn, 0 or more.
            ttl: how long the lease outlives a worker that dies, 0.1 s to a day. The lease is renewed while the run is held.
            owner: the name that others see as the holder. Default: '<host>:<process ID>'.
            max_hold: the time after which the lease is not renewed any more, so that a worker that hangs loses the run.

        Returns:
            The run or turn, or None when there is none within `wait`.

        Raises:
            InvalidInput: an argument is not valid.

        Cost: two round trips, one when a waiting worker is woken. Waiting costs one command in 10 s for each agent. These
        commands also recover work whose worker died.
        """
        return await claim_run(self._context, agent_id, wait, ttl, owner, max_hold)

    async def worker(
        self,
        agent_id: str | Sequence[str],
        handler: Handler,
        *,
        concurrency: int = 1,
        ttl: Duration = 30.0,
        grace: Duration = 20.0,
        owner: str | None = None,
        max_hold: Duration | None = None,
        stop: tasks.Waitable | None = None,
        signals: bool | None = None,
        backoff: Backoff = 0.5,
        retry_on: RetryOn = Exception,
        resumable: bool = True,
        report_errors: bool = False,
        until_idle: bool = False,
    ) -> int:
        """Handle the runs and turns of agents until SIGTERM, SIGINT, or `stop` is set.

        Each way out of the handler has one meaning:

        - The handler returns: the value is the result of the run. A turn is finished.
        - The handler raises, `SystemExit` included: the attempt failed. Workers can claim the run again after `backoff`, until
          `max_attempts` attempts failed. Then the last error is the reason of the failure, and
          the message to the parent has its type.
        - The handler raises `Retry(after=)`: the run is given back. No attempt is counted.
        - The handler raises `GiveUp(reason)`, or returns a value that is not JSON: the run fails at once.
        - `run.wait_for(children)` leaves the handler: the run is parked until the children have ended.
        - The run is cancelled, timed out, deleted or lost: the handler is stopped within a second. An asyncio handler is
          cancelled, a thread sees `run.should_stop`. The slot is free at once, and what the handler still writes is refused.
        - The worker stops: the handler has `grace` to end. Then it is stopped, and the run is given back 3 s later at most. No
          attempt is counted. A handler that saw the stop, and returns no value, has its run given back, too.

        A turn that fails stays open, and its session stays active. A run whose last worker died is handled alone, so that no
        other run dies with it.

        Args:
            agent_id: the agent, or several.
            handler: called with each run or turn.
            concurrency: runs at once, 1 to 1,000.
            ttl: how long a run's lease outlives this worker, 0.1 s to a day.
            grace: how long the present runs may take after the stop, 0 or more. A second signal ends the grace.
            owner: the name that others see as the holder. Default: '<host>:<process ID>'.
            max_hold: the time after which the lease of a run is not renewed any more, so that a handler that hangs loses it.
            stop: an event that stops the worker.
            signals: whether SIGTERM and SIGINT stop the worker. Default: unless `stop` is given. The handlers that the worker
                finds are back when it returns.
            backoff: the pause after the first failed attempt, 0 to 30 days. The pause doubles up to 60 s, and a random part of at
                most a half is taken off. Or a function that takes the number of the attempt and returns the pause.
            retry_on: errors that are worth another attempt: a class, a tuple of classes, or a function that takes the error.
                Another error fails the run at once.
            resumable: the handler can begin again after `run.wait_for`. With False the handler waits there and keeps its slot.
            report_errors: say the text of the last error in the message to the parent, too. Default: the type of the error
                alone, because the text may hold secrets. The reason of the failure has the text in any case.
            until_idle: return when no work of the agents is available or at work here: for tests and scheduled jobs. The work
                that handlers make available is handled, too. Work that is delayed, waits for its next attempt, or waits for other
                agents is not waited for.

        Returns:
            How many runs and turns were given to the handler.

        Raises:
            InvalidInput: an argument is not valid.
            StoreUnavailable: the server does not answer, with `until_idle`. Otherwise the worker goes on.

        Cost: an idle worker sends one command in 5 s. With several agents it sends one in 10 s for each, and a heartbeat.
        """
        takes_signals = flag(stop is None if signals is None else signals, "signals")
        if stop is not None:
            tasks.check_event(stop, "stop")
        worker = Worker(
            self._context, agent_id, handler, concurrency=concurrency, ttl=ttl, grace=grace, owner=owner,
            max_hold=max_hold, backoff=backoff, retry_on=retry_on, resumable=resumable,
            report_errors=report_errors, until_idle=until_idle,
        )  # fmt: skip
        waiting = None if stop is None else tasks.spawn(_call_when_set, stop, worker.stop)
        try:
            await worker.work(signals=takes_signals)
        finally:
            if waiting is not None:
                tasks.cancel(waiting)
        return worker.handled

    async def limit_agent(self, agent_id: str, *, max_running: int | None) -> None:
        """Bound how many runs and turns of an agent are handled at once in the whole fleet, from now on.

        A parked run does not count. A run whose worker died counts until its lease has run out.

        Args:
            agent_id: the agent.
            max_running: 1 to 1,000,000. None for no bound.

        Cost: one round trip.
        """
        bound = None if max_running is None else whole(max_running, "max_running", minimum=1, maximum=1_000_000)
        await self._context.run_queues.set_bound(check_agent(agent_id), bound)

    async def import_sessions(
        self, lines: primitives.Lines, *, on_conflict: OnConflict = "error", key: str | bytes | None = None
    ) -> ImportResult:
        """Import the lines of `session.export()`: all sessions at once, or nothing. An import can be repeated.

        The sessions keep their IDs, seqs, times, state, ledger and fences. Each lives for its idle ttl from now, and not past its
        deadline. Runs that wait for a worker can be claimed.

        Args:
            lines: the lines, with or without newlines, such as an open file. A file may be compressed with gzip.
            on_conflict: what happens if one of the sessions exists. error: SessionExists. skip: nothing is imported. replace: the
                sessions, with their whole tree, are replaced.
            key: the key with which the export was signed, at least 16 bytes.

        Raises:
            InvalidInput: a line is not valid, the signature is missing or not that of the key, or the whole life of a session is
                over. Nothing was written.
            SessionExists: a session exists, with `on_conflict="error"`.
            ConcurrentModification: the tree to be replaced changed too fast.

        Cost: one round trip for each session and each line of messages, two for each run, one to move all.
        """
        result, root = await export_import.import_sessions(self._context, lines, on_conflict, key)
        if result.messages or result.imported or result.replaced:
            await self._context.auditor.record("import", session_id=root, details=result._asdict())
        return result

    async def delete(self, id: str, *, expected_rev: int | None = None) -> bool:
        """Delete a session with everything it owns, and all sessions below it. Return whether it existed.

        See `Session.delete`.
        """
        return await self.session(id).delete(expected_rev=expected_rev)

    async def close(self) -> None:
        """Close the connections of this cache. A redis-py client that it was made with stays as it is.

        It returns within about a second, also if the server is silent. Any task and any thread can close a cache, also after the
        event loops that used it have ended.
        """
        await self._context.close()
        self._release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _create(self, id: str | None, given: NewSession) -> AsyncSession:
        fields, settings = self._creation(given)
        await self._register_agent(fields)
        keys = self._context.keys(new_or_given_id(id))
        call = sessions.create(keys, new_incarnation(), settings, fields, on_existing="error")
        try:
            with self._context.indexer.creation(keys, fields, settings.ttl_ms) as call.hints:
                found = await self._executor.run(call)
        except SessionExists:
            self._context.indexer.repair_later([keys.id])
            raise
        return self._handle(keys.id, found.incarnation)

    async def _get_or_create(self, id: str, given: NewSession) -> AsyncSession:
        fields, settings = self._creation(given)
        await self._register_agent(fields)
        keys = self._context.keys(id)
        found = await self._executor.run(sessions.find(keys))
        if found is None:
            call = sessions.create(keys, new_incarnation(), settings, fields, on_existing="return")
            with self._context.indexer.creation(keys, fields, settings.ttl_ms) as call.hints:
                found = await self._executor.run(call)
            if not found.is_created:
                self._context.indexer.repair_later([keys.id])
        unapplied = {} if found.options is None else found.options.differences(keys.id, given)
        if unapplied:
            OPTIONS_DIFFER.log(
                "session %s exists with other options than asked for: %s", keys.id, unapplied, session_id=keys.id
            )
        return self._handle(keys.id, found.incarnation, unapplied)

    async def _register_agent(self, fields: Mapping[str, Any]) -> None:
        """Register the agent that answers a new session, so that `recover` finds its turns. One round trip an hour."""
        if "answered_by" in fields:
            await self._context.run_queues.register_agent(fields["answered_by"])

    def _creation(self, given: NewSession) -> Creation:
        return Creation.of(given, self.settings, self._counter, self._context.bounds)

    def _handle(self, id: str, incarnation: str, unapplied: Mapping[str, Any] | None = None) -> AsyncSession:
        keys = session_keys(self.namespace, id)
        keys.set_ancestors(self._executor.ancestors(id))
        return AsyncSession(self._context, keys, incarnation, unapplied=unapplied)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where!r}, namespace={self.namespace!r})"


async def _call_when_set(event: tasks.Waitable, function: Callable[[], None]) -> None:
    await event.wait()
    function()
