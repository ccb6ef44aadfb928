# Generated from _async/api/run.py by tools/mirror.py; edit that file.
"""Claimed work: a run of a spawned session or a turn of an answered one, with its lease and one attempt."""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import sha256
from itertools import count
from types import TracebackType
from typing import Any, Literal, Self

from ..._core.commands import sessions, trees
from ..._core.commands.leases import Grant, lease_ttl
from ..._core.commands.messages import MessageLike, encode_batch
from ..._core.commands.run_log import RunLog
from ..._core.commands.run_outcomes import StopReason, parked_argument
from ..._core.commands.run_queues import ClaimReply, Outcome
from ..._core.protocol.keys import SessionKeys
from ..._core.protocol.work import Work, queue_prefix
from ..._durations import Duration, delay_milliseconds, whole
from ...errors import InvalidInput, JoinTimeout, LeaseLost, SessionNotFound, SessionsError
from ...models.messages import Message
from ...models.run_control import RunParked
from ...models.sessions import Status
from ...models.trees import OPEN_STATUSES, ChildInfo, SpawnResult
from ..services import lease_context
from ..services.context import CacheContext
from ..services.history import read_history
from ..services.tree_members import list_members
from ..transport import tasks
from .lease import Lease
from .session import Session


class Run(Session):
    """A claimed run or turn: a handle on its session that writes under the lease. The lease is renewed until the run is over.

    End a run with `complete` or `fail`, and a turn with `finish`. Give both back with `release`. `with run:` gives the run
    back at the end of the block if it was not ended. In the block other handles of this task write under the lease, too. When
    the worker dies, or drops this handle, the lease runs out and another worker can claim the run. Such an end counts as a
    failed attempt.
    """

    _instead = "only the worker that claimed it can end it. Send its `id`, and call `session(id)` of a cache there"

    def __init__(
        self, context: CacheContext, keys: SessionKeys, claim: ClaimReply, nonce: str, ttl: Duration,
        owner: str | None, agent_id: str, max_hold: Duration | None = None,
    ) -> None:  # fmt: skip
        plain = Session(context, keys, claim.incarnation)
        self.held: Lease[Session] = plain.lease(ttl, 0, owner=owner, max_hold=max_hold)
        """The lease of the run."""
        self.agent_id = agent_id
        """The agent whose queue had the run."""
        self.work: Literal["run", "turn"] = "run" if claim.first_seq is None else "turn"
        """run: the task of a spawned session. turn: the answer to messages of a session that goes on after it."""
        self.task = claim.task
        """The task that the session was spawned for. None for a turn, and without a task."""
        self.first_seq = claim.first_seq
        """The seq of the first message that the turn answers. None for a run."""
        self.attempt = claim.attempt
        """The number of this attempt, from 1: attempts that failed or whose worker died, and this one."""
        self.max_attempts = claim.max_attempts
        """The number of attempts that may fail."""
        self.has_died = claim.has_died
        """True if the attempt before ended with the death of its worker."""
        self.is_resumed = claim.resumed != ""
        """True if the run was parked, and its handler begins again in the same attempt."""
        self.traceparent = claim.traceparent
        """The trace context of the spawn, or of the newest message that asked for the turn, as W3C traceparent."""
        self.should_stop = tasks.StopEvent()
        """Set by a worker, within a second, when the run is over or lost, and when the grace of the worker is over.

        An asyncio handler is cancelled, too. Later writes of the handler of a run that is over are refused.
        """
        self.stop_reason: StopReason | None = None
        """The reason for `should_stop`: cancelled, timed_out, deleted, ended (by another handle), lost or shutdown."""
        self.is_over = False
        """True if this handle ended the run or gave it back, or a worker found that the run is over."""
        self.can_park = False
        """True if `wait_for` parks the run. A worker sets this for handlers that can begin again."""
        self._log = RunLog(context.telemetry, claim, keys.id, agent_id, self.held.owner)
        self._is_ended = False
        self._is_waiting = False
        self._nonce = nonce
        self._work = Work(keys.id, keys.ancestors, queue_prefix(keys.id, keys.ancestors, *claim.queue_as))
        self._timed_out = frozenset(claim.resumed.split()[1:])
        self._epoch = f"{claim.incarnation} {claim.retries} {claim.attempt} {claim.first_seq}"
        self._spawn_ids: dict[str, object] = {}
        self._deadline = None if claim.left_ms < 0 else time.monotonic() + claim.left_ms / 1000
        self._task: tasks.Cancellable | None = None
        self._why_released = "it was released"
        self._timer: tasks.Cancellable | None = None
        grant = Grant(claim.fence, claim.ttl_ms, claim.incarnation, claim.session_ttl_ms, granted_at=time.monotonic())
        self._grant = self.held._hold(grant, nonce)
        super().__init__(context, keys, claim.incarnation, lease=self._grant)

    def extend(self, ttl: Duration) -> None:
        """Renew the lease for a ttl of 0.1 s to a day, now and with each renewal.

        Raises LeaseLost, SessionNotFound and SessionNotActive, as `Lease.renew` does.

        Cost: one round trip.
        """
        self.held._set_ttl(lease_ttl(ttl))
        self.held.renew()

    def requests(self) -> list[Message]:
        """Return the messages that the turn must answer: the user messages and results since `first_seq`, oldest first.

        A message that was sent since the claim waits in the inbox, and makes the next turn. `held.receive()` moves such messages
        into the transcript, and thereby into this turn.

        Raises:
            InvalidInput: this is a run, not a turn.

        Cost: one round trip for 1,000 messages.
        """
        self._require_turn("requests")
        found = read_history(
            self._executor, self._keys, self._incarnation, None, after=(self.first_seq or 1) - 1, seen=self._seen
        )
        return [message for message in found if message.role in ("user", "tool")]

    def finish(self, *answer: MessageLike, batch_id: str | None = None) -> None:
        """End the turn, and not the session. Append the answer in the same step.

        Messages that were sent since the claim enter the transcript behind the answer, and make the next turn.

        Args:
            *answer: messages, as for `append`, or none. Either they are appended and the turn is ended, or neither.
            batch_id: the batch ID of the messages. If an attempt before appended such a batch, they are not appended again.

        Raises:
            LeaseLost: another worker holds the lease. Nothing was written.
            SessionNotActive, LimitExceeded, MessageTooLarge: the messages are refused. Nothing was written, and the turn goes on.
            InvalidInput: this is a run, not a turn, or a message is not valid.

        Cost: one round trip, atomic. Two in a cluster, where queues have slots of their own.
        """
        self._require_turn("finish")
        batch, encoded = encode_batch(answer, batch_id, self._counter, self._keys, self._context.bounds, minimum=0)
        self._give_back("finished", entries=encoded, operation_id=batch)

    def release(self, *, delay: Duration = 0.0) -> None:
        """Give the run or turn back, so that another worker can claim it. No attempt is counted.

        Args:
            delay: the time after which workers can claim the run again, 0 or more.

        Raises:
            LeaseLost: another worker holds the lease.

        Cost: one round trip, atomic. Two in a cluster, where queues have slots of their own.
        """
        delay_ms = delay_milliseconds(delay, "delay")
        self._give_back("released", delay_ms=delay_ms)
        self._log.given_back(delay_ms, self._why_released)

    def wait_for(
        self,
        children: Sequence[SpawnResult | ChildInfo | str] | None = None,
        *,
        wanted: int | None = None,
        timeout: Duration = 3600.0,
    ) -> list[ChildInfo]:
        """Wait until children have ended. Take no slot of the worker while they work.

        In a worker the call parks the run: the call raises RunParked, which leaves the handler, and the worker gives back lease
        and slot. When the children have ended, the run is handed out again. The handler then begins again at its first line, its
        spawns return the same children, and this call returns at once. With `worker(resumable=False)`, and in a run that `claim`
        returned, the call waits in place and keeps the lease.

        Args:
            children: results of `spawn`, children, or IDs. Default: all children of the run.
            wanted: the number of them that must have ended. Default: all.
            timeout: how long to wait, 0 or more. A parked run is handed out again after this time.

        Returns:
            The children of `children` that have ended, in the order of their spawns.

        Raises:
            JoinTimeout: fewer children ended in time.
            InvalidInput: a session is not a child of this run.
            RunParked: the run is parked. Let the exception pass through the handler.

        Cost: two round trips. One more when the run is parked, two more in a cluster.
        """
        timeout_ms = delay_milliseconds(timeout, "timeout")
        due = time.monotonic() + timeout_ms / 1000
        found = list_members(self._executor, self._keys, self._incarnation)
        members = trees.chosen_members(found.members, children, self.id)
        needed = len(members) if wanted is None else min(whole(wanted, "wanted", minimum=1), len(members))
        ended = [member for member in members if member.status not in OPEN_STATUSES]
        while len(ended) < needed:
            waiting = [f"{member.number}:{member.run_id}" for member in members if member.status in OPEN_STATUSES]
            is_timed_out = self._timed_out.issuperset(waiting)
            if self.can_park and not is_timed_out:
                raise RunParked(needed - len(ended), waiting, timeout_ms)
            left = 0.0 if is_timed_out else due - time.monotonic()
            if left <= 0:
                self._timed_out = frozenset()  # another wait for them may park again
                raise trees.join_timeout(self.id, members)
            before = sum(member.status not in OPEN_STATUSES for member in found.members)
            try:
                self.join(before + 1, timeout=left)
            except JoinTimeout:
                left = 0.0
            found = list_members(self._executor, self._keys, self._incarnation)
            members = trees.chosen_members(found.members, [member.id for member in members], self.id)
            ended = [member for member in members if member.status not in OPEN_STATUSES]
        return self._child_infos(ended)

    def join(
        self, wanted: Literal["all", "any"] | int = "all", *, timeout: Duration = 60.0, park: bool = False
    ) -> list[ChildInfo]:
        """Wait until children have ended. See `Session.join`.

        Args:
            wanted: all children, any child, or a number of them.
            timeout: how long to wait, 0 or more.
            park: park the run while it waits, as `wait_for` does.
        """
        if not park:
            self._is_waiting = True
            try:
                return super().join(wanted, timeout=timeout)
            finally:
                self._is_waiting = False
        return self.wait_for(wanted=trees.wanted_number(wanted) or None, timeout=timeout)

    def _give_back(self, outcome: Outcome, **details: Any) -> ClaimReply:
        """Give the run back to its queue, and end the lease with it."""
        if self.is_over:
            detail = "the run has ended, or was given back"
            raise LeaseLost(session_id=self.id, fence=self.held.fence, holder="-", detail=detail)
        self.is_over = True
        try:
            reply = self._context.run_queues.give_back(self.agent_id, self._keys, self._nonce, outcome, **details)
        except (LeaseLost, SessionNotFound):
            self.held._end()
            raise
        except BaseException:
            self.is_over = False  # nothing was written, or nothing is known: the same outcome can be given again
            raise
        lease_context.pop(self._grant)
        self.held._end()
        if outcome == "finished":
            self._log.ended(outcome)
        return reply

    def _park(self, parked: RunParked) -> None:
        self._give_back("parked", delay_ms=parked.timeout_ms, parked=parked_argument(parked.needed, parked.children))
        self._log.parked(parked)

    def _find_stop_reason(self) -> StopReason | None:
        """Return why the run is over, or None if it is held as before."""
        try:
            info = self._executor.run(sessions.info(self._keys, ""))
        except SessionNotFound:
            return "deleted"
        except SessionsError:
            return "lost"
        if info.incarnation != self._incarnation:
            return "deleted"
        if info.status in ("cancelled", "timed_out"):
            return info.status
        if info.status in ("completed", "failed"):
            return "ended"
        is_held = info.lease is not None and info.lease.fence == self.held.fence
        return None if is_held and not self.held.lost.is_set() else "lost"

    def _require_turn(self, method: str) -> None:
        if self.work != "turn":
            detail = f"is for turns, and {self.id!r} is a run: end it with complete() or fail()"
            raise InvalidInput(name=method, detail=detail)

    def _new_spawn_id(self, agent_id: str, task: str | None, label: str | None) -> str | None:
        seed = f"{self._epoch} {agent_id} {label} {task}".encode(errors="surrogatepass")
        equal = "~" + sha256(seed).hexdigest()[:24]
        mine = object()
        for number in count(1):
            id = f"{equal}{number:07}"
            if (
                self._spawn_ids.setdefault(id, mine) is mine
            ):  # one step, because threads of the handler can spawn at once
                return id
        raise AssertionError("unreachable: the numbers have no end")

    def _give_back_spawn_id(self, batch_id: str) -> None:
        self._spawn_ids.pop(batch_id, None)

    def _end_of_work(self) -> None:
        self._context.run_queues.remove(self.agent_id, self._work)

    def _guard(self) -> tuple[str, str]:
        return (self._incarnation, "") if self._is_ended else super()._guard()

    def _set_status(self, status: Status, reason: str | None, result: Any, expected_rev: int | None) -> int:
        rev = super()._set_status(status, reason, result, expected_rev)
        if status not in OPEN_STATUSES:
            self.is_over = self._is_ended = True
            self._context.run_queues.forget_claim(self._nonce)
            self.held._end()
            self._log.ended(status, reason)
        return rev

    def __enter__(self) -> Self:
        lease_context.push(self._grant)
        self._log.handling.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lease_context.pop(self._grant)
        try:
            if not self.is_over:
                self.release()
        except SessionNotFound:
            pass  # deleted since: nothing is left to give back
        except SessionsError:
            if error is None:
                raise
        finally:
            self._log.handling.end()
