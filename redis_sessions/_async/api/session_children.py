"""Methods on a session's children: spawn, list, join, and the request to stop."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Literal, Unpack

from ..._arguments import mapping
from ..._core.commands import child_infos, forks, messages, sessions, spawns, trees, watch_progress
from ..._core.commands.forks import Report
from ..._core.commands.run_queues import POLL_INTERVAL_SECONDS
from ..._core.commands.session_fields import description_fields
from ..._core.protocol.call import Call
from ..._core.protocol.ids import operation_id_of
from ..._core.protocol.keys import session_keys
from ..._core.protocol.work import Work
from ..._durations import Duration, milliseconds, whole
from ...errors import ReplyTimeout, SessionRegressed, SessionsError
from ...models.messages import Message
from ...models.observer import Request
from ...models.results import AppendResult, SendResult
from ...models.trees import OPEN_STATUSES, ChildInfo, SpawnRef, SpawnResult
from ...settings import Description, SessionOptions, SessionSettings, check_child_description, check_child_options
from ..services.copier import mark_files_copied, run_copy
from ..services.history import read_history
from ..services.registration import try_to_register
from ..services.tree_members import list_members, register_join
from ..services.tree_room import spawn_with_room
from ..transport.notifications import RETRY_SUBSCRIBE_SECONDS
from .session_base import AsyncSessionBase


class AsyncSessionChildren(AsyncSessionBase):
    """A session with its parent and its children."""

    async def spawn(
        self,
        agent_id: str,
        *,
        task: str | None = None,
        label: str | None = None,
        model: str | None = None,
        mode: spawns.Mode = "run",
        context: spawns.Context = "isolated",
        cleanup: spawns.Cleanup = "keep",
        on_parent_end: spawns.OnParentEnd = "cancel",
        run_timeout: Duration | None = None,
        max_attempts: int = spawns.DEFAULT_ATTEMPTS,
        token_budget: int | None = None,
        cost_budget: float | None = None,
        spawned_by: SpawnRef | Mapping[str, Any] | None = None,
        report: Report = "message",
        batch_id: str | None = None,
        delay: Duration = 0.0,
        run_at: datetime | None = None,
        priority: int = 0,
        fairness_key: str | None = None,
        wait: Duration = 0.0,
        description: Description | None = None,
        **options: Unpack[SessionOptions],
    ) -> SpawnResult:
        """Spawn a child session for an agent, with the ID `agent:<agent_id>:subagent:<uuid>`.

        The child lives no longer than this session, and not past its deadlines. The child belongs to this session's
        user, unless the description names another. The result of the child comes to this session as a message.

        Args:
            agent_id: the agent whose workers claim the child, 1 to 128 characters without ':'.
            task: the task, for the worker.
            label: a name that is unique among the active sessions of the tree.
            model: the model, for the worker.
            mode: run: a worker claims the child, and the child ends with its result. session: the child stays until a call ends
                it, and takes no `run_timeout`, `max_attempts`, `delay` and `run_at`.
            context: isolated: the child starts empty. fork: the child starts with the messages that this session retains,
                but not with a tool call that still waits for its result.
            cleanup: keep, or delete: the child is deleted when its result was delivered.
            on_parent_end: cancel, detach or request_cancel: the effect on the child when this session ends. A cancellation of
                this session also cancels the child, in any case.
            run_timeout: time from each claim after which the child ends as timed_out. Time in the queue does not count.
            max_attempts: the number of attempts that may fail, 1 to 1,000. The death of a worker counts, a run that is given back
                does not.
            token_budget: tokens that the child and all sessions below it may spend.
            cost_budget: cost that the child and all sessions below it may spend.
            spawned_by: the tool call that spawns the child.
            report: the report to this session when the child ends, in the message format of this session. message: a user
                message. tool_result: the result of the call in `spawned_by`, which must wait for its result. False: nothing, so
                that only `join` and `children` have the end.
            batch_id: makes the spawn happen once, however often it is repeated. Inside a run the default follows from the
                attempt, the agent, the task, the label, and the number among equal spawns. So a handler that begins again after
                `wait_for` gets the same children.
            delay: the time after which workers can claim the child, 0 or more. Not together with `run_at`.
            run_at: the time at which workers can claim the child, with a time zone. A time in the past is refused, unless the
                spawn has a batch ID, because it can be a repetition.
            priority: -100 to 100. Children of a higher priority are claimed first.
            fairness_key: 1 to 128 characters. Workers serve the fairness keys of a queue in turn. Default: the root of the tree.
            wait: how long to wait for room when max_children, max_active or max_descendants refuses the child, 0 or more.
            description: the description of the child, such as its name, tags and metadata. With mode="session" it can name the
                agent that answers the child (`answered_by`). agent_id, kind, parent_id, priority and fairness_key
                are refused here, because the spawn sets them.
            **options: limits and lifetimes of the child. See SessionSettings.

        Returns:
            Whether the child was accepted, and why not. A refusal is a value. `raise_if_refused()` makes it an error.

        Raises:
            SessionNotFound, SessionReplaced: this session is gone.
            SessionLocked, LeaseLost: another worker holds this session's lease.
            InvalidInput: an argument is not valid.

        Cost: one round trip, atomic. One more for the first spawn of this process for an agent within an hour, and one more in a
        cluster, where run queues have slots of their own. A refusal for room costs two more to find sessions that are gone. Their
        places are freed, and then the spawn is repeated. The end of a child ends a wait, which repeats the spawn once a second.
        """
        wait_ms = milliseconds(wait, "wait", minimum=0, bounds="0 or more")
        services = self._context
        check_child_options(options)
        run_batch_id = None
        if batch_id is None:
            batch_id = run_batch_id = self._new_spawn_id(agent_id, task, label)
        else:
            operation_id_of(batch_id)
        is_accepted = False
        try:
            request = spawns.spawn_request(
                self._keys, agent_id, task=task, label=label, model=model, mode=mode, cleanup=cleanup, context=context,
                on_parent_end=on_parent_end, run_timeout=run_timeout, max_attempts=max_attempts, spawned_by=spawned_by,
                batch_id=batch_id, report=report, delay=delay, run_at=run_at, priority=priority,
                fairness_key=fairness_key, bounds=services.bounds,
            )  # fmt: skip
            budgets = {"token_budget": token_budget, "cost_budget": cost_budget}
            given = {name: value for name, value in budgets.items() if value is not None}
            settings = services.settings.for_child({**options, **given})
            fields = self._child_fields(description)
            if "answered_by" in fields:
                await services.run_queues.register_agent(fields["answered_by"])
            inherits_user = "user_id" not in (description or {})
            request_span = services.telemetry.requesting("spawn", self.id, agent_id)
            attempt = partial(
                self._spawn, agent_id, request, settings, fields, claimable=mode == "run",
                may_exist=batch_id is not None, inherits_user=inherits_user, span=request_span,
            )  # fmt: skip
            with request_span:
                result = await spawn_with_room(services, self._keys, self._incarnation, attempt, wait_ms / 1000)
            is_accepted = result.accepted
        finally:
            if run_batch_id is not None and not is_accepted:
                self._give_back_spawn_id(run_batch_id)
        lineage = (self.id, *self._keys.ancestors)
        if result.session_key is not None:
            services.executor.remember_ancestors(result.session_key, lineage)
        if services.run_queues.is_cluster:
            work = Work(request.id, lineage, request.queue_prefix)
            is_created = result.session_key == request.id
            services.run_queues.confirm_spawn(
                agent_id, work, request.wait_ms, is_created=is_created, claimable=mode == "run"
            )
        return result

    async def _spawn(
        self,
        agent_id: str,
        request: spawns.SpawnRequest,
        settings: SessionSettings,
        fields: dict[str, Any],
        *,
        claimable: bool,
        may_exist: bool,
        inherits_user: bool,
        span: Request,
    ) -> SpawnResult:
        services = self._context
        queue = None if services.run_queues.is_cluster else services.run_queues.queue_of(agent_id)
        if request.is_fork and services.chain is not None:
            self._keys.origins = await self._run(forks.origins_of(self._keys))
            await mark_files_copied(services, self._keys)
        child = session_keys(services.namespace, request.id)
        call = spawns.spawn(
            self._keys, child, *self._guard(), request, settings, fields, queue, inherits_user=inherits_user,
            traceparent=span.traceparent,
        )  # fmt: skip
        listed = {**fields, **request.fields}
        if inherits_user:
            listed["user"] = (await services.indexer.record_of(self._keys)).user
        with services.indexer.creation(child, listed, settings.ttl_ms) as hints:
            if queue is not None:
                call.hints = hints
            work = Work(request.id, (), request.queue_prefix)
            await services.run_queues.reserve(agent_id, self._keys, work, claimable=claimable, hints=hints)
            result = await run_copy(
                self._executor, services.namespace, self._keys, self._incarnation, child, call, self._run
            )
        if result.session_key is None or may_exist or inherits_user:
            services.indexer.repair_later([request.id], may_be_new=False)
        return result

    def _new_spawn_id(self, agent_id: str, task: str | None, label: str | None) -> str | None:
        """Return the batch ID of a spawn that was given none. A run makes the IDs of its spawns, so that they happen once."""
        return None

    def _give_back_spawn_id(self, batch_id: str) -> None:
        """Let the next equal spawn have the batch ID of a spawn that made no child."""

    def _child_fields(self, description: Description | None) -> dict[str, Any]:
        given = dict(mapping({} if description is None else description, "description"))
        check_child_description(given)
        return dict(description_fields(self._counter, self._context.bounds, **given))

    async def children(self, *, recursive: bool = False) -> list[ChildInfo]:
        """Return the state of each child: status, tokens, last activity, lease holder, attempt.

        Args:
            recursive: all sessions below this one, not only its children.

        Returns:
            The children in the order of their spawns.

        Cost: two round trips.
        """
        found = await list_members(self._executor, self._keys, self._incarnation, recursive=recursive)
        return await self._child_infos(found.members)

    async def _child_infos(self, members: list[trees.Member]) -> list[ChildInfo]:
        if not members:
            return []
        root = session_keys(self._context.namespace, trees.root_id(self._keys))
        calls: list[Call[Any]] = [sessions.info(self._context.run_queues.keys_of(one.id), "") for one in members]
        *found, kept = await self._executor.run_many([*calls, child_infos.member_results(root, members)])
        if isinstance(kept, SessionsError):
            raise kept
        return [child_infos.child_info(*one) for one in zip(members, found, kept, strict=True)]

    async def join(self, wanted: Literal["all", "any"] | int = "all", *, timeout: Duration = 60.0) -> list[ChildInfo]:
        """Wait until children have ended.

        Args:
            wanted: all children, any child, or a number of them.
            timeout: how long to wait, 0 or more.

        Returns:
            The children that have ended, in the order of their spawns.

        Raises:
            JoinTimeout: fewer children ended in time.

        Cost: two round trips. The ends of children end the wait. Every 5 s `join` also checks for children whose worker died.
        """
        target = trees.wanted_number(wanted)
        due = time.monotonic() + milliseconds(timeout, "timeout", minimum=0, bounds="0 or more") / 1000
        hub, nonce = self._context.hub, secrets.token_hex(8)
        queue = hub.register(nonce)
        try:
            while True:
                can_hear = await hub.try_subscribe()
                left = max(due - time.monotonic(), 0)
                found, is_registered = await register_join(
                    self._executor, self._keys, self._incarnation, nonce=nonce, wait_ms=round(left * 1000), target=target,
                    counts_receivers=hub.counts_receivers, channel=hub.channel, max_waiters=self._context.bounds.waiters,
                )  # fmt: skip
                ended = [member for member in found.members if member.status not in OPEN_STATUSES]
                if len(ended) >= (target or len(found.members)):
                    if self._lease is None:  # another process may hold the lease, and die before it has the results
                        self._context.run_queues.watch_inbox(self._keys, 0)
                    return await self._child_infos(ended)
                if left == 0:
                    raise trees.join_timeout(self.id, found.members)
                # The children of an ended parent end now.
                is_waking = can_hear and is_registered and found.status == "active"
                pause = POLL_INTERVAL_SECONDS if is_waking else RETRY_SUBSCRIBE_SECONDS
                if await queue.get(min(left, pause)) is None:
                    await self._context.run_queues.recover_children(self._keys, found.members)
        finally:
            hub.unregister(nonce)

    async def wait_for_reply(self, sent: SendResult | AppendResult | int, *, timeout: Duration = 60.0) -> Message:
        """Wait for the first assistant message without tool calls after a message.

        Args:
            sent: the result of `send` or `append`, also when the message waits in the inbox, or a seq.
            timeout: how long to wait, 0 or more.

        Raises:
            ReplyTimeout: no reply came in time. The sent message stays sent.
            SessionRegressed: a failover lost the message.

        Cost: two round trips, and two for each message that comes before the reply.
        """
        ms = milliseconds(timeout, "timeout", minimum=0, bounds="0 or more")
        due = time.monotonic() + ms / 1000
        sent = sent if isinstance(sent, AppendResult | SendResult) else whole(sent, "sent")
        batch_id = None if isinstance(sent, int) else sent.batch_id
        last = sent.last_seq if isinstance(sent, AppendResult) else sent.seq if isinstance(sent, SendResult) else sent
        read_seq = last or 0  # the reply comes behind this message
        hub, nonce = self._context.hub, secrets.token_hex(8)
        queue = hub.register(nonce)
        try:
            while True:
                can_hear = await hub.try_subscribe()
                left = max(due - time.monotonic(), 0)
                call = messages.subscribe(
                    self._keys, self._incarnation, nonce, round(left * 1000), hub.channel, hub.counts_receivers,
                    "message", self._context.bounds.readers,
                )  # fmt: skip
                position = await try_to_register(self._executor, call)
                can_hear = can_hear and position is not None
                if position is None:
                    newest = (await self._executor.run(watch_progress.snapshot(self._keys, self._incarnation))).last_seq
                else:
                    newest = position.last_seq
                if last is not None and newest < last and not isinstance(sent, int):
                    raise SessionRegressed(session_id=self.id, known=newest, seen=last)
                if last is None or newest > read_seq:
                    limit = None if last is not None else 1000
                    new = await read_history(
                        self._executor, self._keys, self._incarnation, limit, after=read_seq, seen=self._seen
                    )
                    reply = messages.find_reply(new, batch_id if last is None else None)
                    if reply is not None:
                        return reply
                    if last is not None and new:
                        read_seq = new[-1].seq
                if left == 0:
                    raise ReplyTimeout(session_id=self.id, seq=last or newest, waited=ms / 1000)
                pause = POLL_INTERVAL_SECONDS if can_hear else RETRY_SUBSCRIBE_SECONDS
                if await queue.get(min(left, pause)) is None and self._context.run_queues.is_cluster:
                    await self._context.run_queues.advance(self._keys)  # the queue of the turn may have lost it
        finally:
            hub.unregister(nonce)

    async def request_cancel(self, *, reason: str | None = None) -> None:
        """Ask this session, and all sessions below it, to stop. Their handlers see this with `is_cancel_requested`.

        Cost: one round trip, atomic.
        """
        await self._executor.run(trees.request_cancel(self._keys, self._incarnation, reason, self._context.bounds))

    async def is_cancel_requested(self) -> bool:
        """Return whether this session was asked to stop, or is cancelled, by itself or with an ancestor.

        Cost: one round trip.
        """
        return await self._executor.run(trees.read_cancel(self._keys, self._incarnation)) != ""
