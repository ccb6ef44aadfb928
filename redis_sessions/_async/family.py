"""What a handle does with its children: spawn, list, wait for, cancel; and how it hears what its parent wants."""

from __future__ import annotations

import secrets
import time
from abc import abstractmethod
from collections.abc import Awaitable, Mapping
from typing import Any, Literal, TypeVar, Unpack

from .._core import descriptions, messages, runs, sessions, trees
from .._core.calls import Call
from .._core.keys import session_keys
from .._core.runs import HEARTBEAT
from .._core.units import Duration, milliseconds, whole
from ..errors import JoinTimeout, ReplyTimeout
from ..models.messages import Message
from ..models.results import AppendResult, SendResult
from ..models.trees import ChildInfo, SpawnRef, SpawnResult
from ..settings import Description, SessionOptions
from .transcript import AsyncTranscript
from .wakes import DEAF

T = TypeVar("T")
_ACTIVE = ("active", "paused")


class AsyncFamily(AsyncTranscript):
    """A session among its parent and its children."""

    @abstractmethod
    def _writer(self) -> tuple[str, str]: ...

    @abstractmethod
    async def _run(self, call: Call[T]) -> T: ...

    async def spawn(
        self,
        agent_id: str,
        *,
        task: str | None = None,
        label: str | None = None,
        model: str | None = None,
        mode: trees.Mode = "run",
        context: trees.Context = "isolated",
        cleanup: trees.Cleanup = "keep",
        on_parent_end: trees.OnParentEnd = "cancel",
        run_timeout: Duration | None = None,
        max_attempts: int = 3,
        token_budget: int | None = None,
        cost_budget: float | None = None,
        spawned_by: SpawnRef | Mapping[str, Any] | None = None,
        batch_id: str | None = None,
        description: Description | None = None,
        **options: Unpack[SessionOptions],
    ) -> SpawnResult:
        """Spawns a child for an agent: `agent:<agent_id>:subagent:<uuid>`. Admission and all that is made are one script.

        The result says whether it was accepted; a refusal is a value, too (`raise_if_refused`). With mode `run` it waits for
        a worker (`cache.claim`), is tried `max_attempts` times, and ends with its result; with `session` it stays until it is
        ended. Its result comes to this session as a message. `context="fork"` starts it with the messages retained here.
        `cleanup="delete"` removes it once its result is delivered. `on_parent_end` is what happens to it when this session
        ends, other than by `cancel`, which takes all that are below. It lives no longer than this session, nor past its
        deadlines. A `label` is its own in the tree while it is active. `options` are the child's own settings.

        Exactly once for a `batch_id`. One round trip; in a cluster, where queues have slots of their own, two.
        Raises SessionNotFound, SessionLocked, LeaseLost, InvalidInput.
        """
        home = self._home
        asked = trees.spawn_options(
            self._keys, agent_id, task=task, label=label, model=model, mode=mode, cleanup=cleanup, context=context,
            on_parent_end=on_parent_end, run_timeout=run_timeout, max_attempts=max_attempts, spawned_by=spawned_by,
            batch_id=batch_id,
        )  # fmt: skip
        budgets = {"token_budget": token_budget, "cost_budget": cost_budget}
        settings = home.settings.for_child({**options, **budgets})
        fields = descriptions.describe(home.count, **(description or {}))
        queue = None if home.queues.is_apart else home.queues.of(agent_id)
        call = trees.spawn(
            self._keys, *self._writer(), home.namespace, asked, settings, fields, queue, batch_id
        )  # fmt: skip
        child = session_keys(home.namespace, asked.id)
        announced = home.indexes.announce(child, {**fields, **asked.fields}, settings.ttl_ms)
        if queue is not None:
            call.ahead = announced
        await home.queues.prepare(agent_id, self._keys, asked.id, claimable=mode == "run", beside=announced)
        result = await self._run(call)
        if result.session_key is None or batch_id is not None:
            home.indexes.later([asked.id])
        if result.session_key is not None:
            home.calls.remember(result.session_key, (self.id, *self._keys.ancestors))
        if queue is None:
            keys = home.queues.keys_of(" ".join([asked.id, self.id, *self._keys.ancestors]))
            home.queues.confirm(keys, is_there=result.session_key == asked.id, claimable=mode == "run")
        return result

    async def children(self, *, below: bool = False) -> list[ChildInfo]:
        """How each child stands: status, tokens, last activity, lease holder, attempt; with `below`, all that are below it.

        In the order of spawning. Two round trips: one for the tree's records, one for the sessions.
        """
        return await self._described(
            (await self._calls.run(trees.members(self._keys, self._life, below=below))).members
        )

    async def _described(self, members: list[trees.Member]) -> list[ChildInfo]:
        keys = [sessions.info(self._home.queues.keys_of(member.id), "") for member in members]
        found = await self._calls.run_many(keys)
        return [trees.described(member, info) for member, info in zip(members, found, strict=True)]

    async def join(self, wanted: Literal["all", "any"] | int = "all", *, timeout: Duration = 60.0) -> list[ChildInfo]:
        """Waits until all children, any, or so many of them have ended; answers those that have, in the order of spawning.

        Woken by the ends, not by polling; while it waits it looks every 5 s after children whose worker died. Raises
        JoinTimeout after `timeout` seconds.
        """
        target = {"all": 0, "any": 1}.get(wanted) if isinstance(wanted, str) else whole(wanted, "wanted", least=1)
        if target is None:
            raise trees.no_such_join(wanted)
        due = time.monotonic() + milliseconds(timeout, "timeout", least=0, bounds="0 or more") / 1000
        wakes, nonce = self._home.wakes, secrets.token_hex(8)
        told = wakes.expect(nonce)
        try:
            while True:
                can_hear = await wakes.can_hear(self._calls.where)
                left = max(due - time.monotonic(), 0)
                found = await self._calls.run(
                    trees.members(
                        self._keys, self._life, nonce=nonce, wait_ms=round(left * 1000), target=target,
                        counted=wakes.counted, channel=wakes.channel,
                    )
                )  # fmt: skip
                ended = [member for member in found.members if member.status not in _ACTIVE]
                if len(ended) >= (target or len(found.members)):
                    return await self._described(ended)
                if left == 0:
                    waiting = [member.id for member in found.members if member.status in _ACTIVE]
                    raise JoinTimeout(
                        session_id=self.id, ended=[member.id for member in ended], waiting=waiting,
                        detail=f"{len(ended)} of {len(found.members)} children had ended when the time was over",
                    )  # fmt: skip
                pause = (
                    HEARTBEAT if can_hear and found.status == "active" else DEAF
                )  # the children of an ended one end now
                if await told.get(min(left, pause)) is None:
                    await self._look_after(found.members)
        finally:
            wakes.forget(nonce)

    async def _look_after(self, members: list[trees.Member]) -> None:
        for agent in {runs.agent_of(member.id) for member in members if member.status in _ACTIVE}:
            if agent is not None:
                await self._home.queues.sweep(agent)

    async def wait_for_reply(self, sent: SendResult | AppendResult | int, *, timeout: Duration = 60.0) -> Message:
        """The first answer of the assistant's that calls no tool, after what was sent (or after a seq). Woken, not polling.

        `sent` is what `send` or `append` answered, also when the message waits in the inbox. Raises ReplyTimeout.
        """
        ms = milliseconds(timeout, "timeout", least=0, bounds="0 or more")
        due = time.monotonic() + ms / 1000
        batch_id = None if isinstance(sent, int) else sent.batch_id
        last = sent.last_seq if isinstance(sent, AppendResult) else sent.seq if isinstance(sent, SendResult) else sent
        wakes, nonce = self._home.wakes, secrets.token_hex(8)
        told = wakes.expect(nonce)
        try:
            while True:
                can_hear = await wakes.can_hear(self._calls.where)
                left = max(due - time.monotonic(), 0)
                call = messages.expect(
                    self._keys, self._life, nonce, round(left * 1000), wakes.channel, wakes.counted
                )  # fmt: skip
                newest = (await self._calls.run(call)).last
                if last is None or newest > last:
                    new = await self.history(None if last is not None else 1000, after_seq=last or 0)
                    reply = messages.reply_to(new, batch_id if last is None else None)
                    if reply is not None:
                        return reply
                if left == 0:
                    raise ReplyTimeout(session_id=self.id, seq=last or newest, waited=ms / 1000)
                await told.get(min(left, HEARTBEAT if can_hear else DEAF))
        finally:
            wakes.forget(nonce)

    async def request_cancel(self, *, reason: str | None = None) -> None:
        """Asks this session, and all below it, to stop when it suits them: they see it in `cancel_requested`."""
        await self._calls.run(trees.request(self._keys, self._life, True, reason))

    @property
    def cancel_requested(self) -> Awaitable[bool]:
        """Whether it was asked to stop, or is cancelled already, by itself or with one above it. One round trip."""
        return self._cancel_requested()

    async def _cancel_requested(self) -> bool:
        asked, _ = await self._calls.run(trees.request(self._keys, self._life, False))
        return asked != ""
