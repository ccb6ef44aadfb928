# Generated from _async/services/work_advancer.py by tools/mirror.py; edit that file.
"""Advance sessions whose worker may have died or whose time may be over, and tell their queues what was found."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..._core.commands import run_queues, sessions, trees
from ..._core.commands.run_queues import INBOX_QUEUE, ClaimReply, Outcome, When, agent_of
from ..._core.protocol.call import Call
from ..._core.protocol.keys import SessionKeys, session_keys
from ..._core.protocol.work import Work, queue_prefix
from ...errors import LimitExceeded, SessionsError
from ..transport.executor import Executor
from ..transport.notifications import NotificationHub
from .indexer import Indexer
from .queue_hints import QueueHints

_RUNNING_MARGIN_MS = 10_000
"""The time that work counts as running after its lease ran out, in which it is checked."""


class WorkAdvancer(QueueHints):
    """Advances the work of one namespace."""

    def __init__(self, executor: Executor, hub: NotificationHub, indexer: Indexer, namespace: str) -> None:
        super().__init__(executor, hub, namespace)
        self._indexer = indexer
        self._answering: dict[str, str] = {}
        """The agents that answer sessions, as far as this process knows them."""

    def advance(self, keys: SessionKeys, source: tuple[str, str] | None = None) -> ClaimReply | None:
        """Check a session whose worker may have died, or whose time may be over. Tell its queue what was found.

        Args:
            source: the agent and the work, as the queue names it that had the session checked.

        Returns:
            The reply, or None when the server did not answer. A queue that named the work has it checked again in 2 s. Other
            callers must repeat the check.
        """
        try:
            agent = source[0] if source else self._answering.get(keys.id) or agent_of(keys.id) or INBOX_QUEUE
            reply = self._executor.run(self._advance_call(agent, keys))
            self._apply_verdict(keys, reply, source)
        except SessionsError:
            return None
        return reply

    def advance_all(self, works: Sequence[str]) -> None:
        """Check sessions, and end those that are gone or whose time is over."""
        for work in works:
            self.advance(self.keys_of(work))

    def advance_later(self, keys: SessionKeys, source: tuple[str, str] | None = None) -> None:
        """Check a session in the background. See `advance`."""
        self.spawn(self._advance, keys, source)

    def _advance(self, keys: SessionKeys, source: tuple[str, str] | None) -> None:
        self.advance(keys, source)

    def advance_parent(self, keys: SessionKeys) -> None:
        """Advance the parent of a child that ended."""
        if keys.ancestors:
            self.advance(self.keys_of(Work(keys.ancestors[0], keys.ancestors[1:])))

    def _advance_call(
        self, agent: str, keys: SessionKeys, nonce: str = "", outcome: Outcome = "", **details: Any
    ) -> Call[ClaimReply]:
        """Return the call of `advance`, with the queue of an agent where a script can write both."""
        queue = None if self.is_cluster else self.queue_of(agent)
        return run_queues.advance(keys, nonce, outcome, agent=agent, queue=queue, **details)

    @staticmethod
    def agent_of(keys: SessionKeys, reply: ClaimReply) -> str:
        """Return the agent in whose queue the work of a session belongs."""
        return reply.answered_by or agent_of(keys.id) or INBOX_QUEUE

    def _work_of(self, keys: SessionKeys, reply: ClaimReply) -> Work:
        return Work(keys.id, keys.ancestors, queue_prefix(keys.id, keys.ancestors, *reply.queue_as))

    def _apply_verdict(
        self,
        keys: SessionKeys,
        reply: ClaimReply,
        source: tuple[str, str] | None,
        reserved_until: str = "",
        *,
        is_handed_back: bool = False,
    ) -> None:
        """Tell a queue what the session said.

        Args:
            reserved_until: the work leaves the queue if it has this time, that is, unless it came back since.
            is_handed_back: the queue may still have the time until which the work was reserved.
        """
        agent, work = self.agent_of(keys, reply), str(self._work_of(keys, reply))
        if source is not None and source != (agent, work):
            self.update(*source, "remove", 0, "remove")
        if reply.wakes_parent:
            self.advance_parent(keys)
        if reply.verdict == "cancelled":
            with suppress(SessionsError):  # the next check goes on
                self.finalize_members(keys)
        if reply.verdict in ("over", "cancelled"):
            self._indexer.repair_later([keys.id, *keys.ancestors[:1]])
        if reply.is_scheduled:
            return
        if reply.verdict in ("over", "cancelled"):
            self.update(agent, work, "remove", 0, "remove")
        elif reply.verdict == "free":
            self.update(agent, work, "after" if is_handed_back else "now", 0, "after", reply.check_ms)
        else:
            when: When = "remove" if reserved_until or is_handed_back else "keep"
            is_checked = reply.check_ms > 0
            is_running = reply.verdict in ("claimed", "held")
            self.update(
                agent, work, when, 0, "after" if is_checked else "remove", reply.check_ms, reserved_until=reserved_until,
                running_ms=reply.check_ms + _RUNNING_MARGIN_MS if is_running and is_checked else 0,
            )  # fmt: skip

    def finalize_members(self, keys: SessionKeys, top: str = "") -> None:
        """Mark all cancelled members of a tree, or delete those below `top`. 50 members a round trip."""
        root = session_keys(self._namespace, trees.root_id(keys))
        step = trees.BEGIN
        while not step.is_done:
            call = trees.finalize_members(root, self._namespace, step, top)
            ids = [id for _, id in step.members]
            if top:
                self._indexer.learn(ids)
            step = self._executor.run(call)
            if top and ids:
                self._executor.get_many([sessions.remove_rest(session_keys(self._namespace, id)) for id in ids])
            self._indexer.repair_later(ids, may_be_new=False)

    def finish_limit_end(self, keys: SessionKeys, incarnation: str, problem: LimitExceeded) -> None:
        """Apply the effects of an end that a limit caused. If this fails, the recovery of the run applies them."""
        if problem.action == "end_session":
            with suppress(SessionsError):
                change = self._executor.run(sessions.finish_limit_end(keys, incarnation))
                if change.has_cancelled_members:
                    self.finalize_members(keys)
                if change.wakes_parent:
                    self.spawn(self.advance_parent, keys)
