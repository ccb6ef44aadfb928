# Generated from _async/api/session.py by tools/mirror.py; edit that file.
"""The handle on one session."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar, Unpack

from ..._arguments import check_function, texts
from ..._core.commands import forks, inbox, messages, sessions
from ..._core.commands.messages import MessageLike
from ..._core.commands.session_fields import checked_text, description_fields, unset_fields
from ..._core.commands.shared import changes
from ..._core.commands.storage_bounds import check_fields, check_number
from ..._core.protocol.encoding import copy_origins, encoded_origins
from ..._core.protocol.ids import new_id, new_incarnation, operation_id_of
from ..._core.protocol.keys import AgentKeys, SessionKeys
from ..._durations import Duration, whole
from ...errors import InvalidInput, LeaseLost, LimitExceeded, RevisionConflict, SessionRegressed
from ...models.limits import LimitCheck
from ...models.messages import Message
from ...models.results import AppendResult, SendResult
from ...models.sessions import SessionInfo
from ...settings import Description, SessionPatch, SessionSettings, checked_names
from ..services import deleter, export_import
from ..services.context import CacheContext
from ..services.copier import mark_files_copied, run_copy
from ..services.lease_context import HeldLease
from ..services.reencryption import reencrypt_session
from ..transport import primitives
from .lease import Lease
from .session_children import SessionChildren
from .session_edits import SessionEdits
from .session_loops import SessionLoops
from .session_messages import SessionMessages
from .session_parts import SessionParts
from .session_status import SessionStatus
from .session_watching import SessionWatching

T = TypeVar("T")
_MAY_OPEN_TURN = {"answered_by", "max_turns", "max_entries", "max_duration", "limit_action"}
"""A patch of these may let a worker claim a turn."""


class Session(
    SessionMessages,
    SessionEdits,
    SessionParts,
    SessionChildren,
    SessionLoops,
    SessionStatus,
    SessionWatching,
):
    """A handle on one session, by its ID. A handle costs no round trip.

    A handle from `create` or `open` knows the incarnation of the session. A handle from `session(id)` learns it with the first
    append. From then on the handle refuses a session that was deleted and created again (SessionReplaced). Every method raises
    SessionNotFound when the session is gone. Each method is one atomic round trip unless it says otherwise.
    """

    def __init__(
        self,
        context: CacheContext,
        keys: SessionKeys,
        incarnation: str,
        *,
        lease: HeldLease | None = None,
        unapplied: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(context, keys, incarnation, lease=lease)
        self.unapplied_options: dict[str, Any] = dict(unapplied or {})
        """Options that `get_or_create` or `main_session` asked for and the existing session does not have.

        The values are those of the session, a duration as a timedelta. `patch` can change all but `max_lifetime`.
        """

    def _under_lease(self, lease: HeldLease) -> Session:
        return Session(self._context, self._keys, self._incarnation, lease=lease)

    # -- messages ------------------------------------------------------------------------------------------------

    def append(
        self,
        *batch: MessageLike,
        batch_id: str | None = None,
        expected_rev: int | None = None,
        state: Mapping[str, Any] | None = None,
        remove_state: Sequence[str] = (),
        if_state: Mapping[str, Any] | None = None,
        usage: Any = None,
        request_turn: bool = False,
        shared: Mapping[str, Mapping[str, Any]] | None = None,
        remove_shared: Mapping[str, Sequence[str]] | None = None,
    ) -> AppendResult:
        """Append messages in order: all or none, and exactly once for a `batch_id`.

        Then the cap drops the oldest messages, by the session's policy.

        Args:
            *batch: messages, as dicts, Message or objects of an SDK, 1 to 2,000 (bound `batch_messages`). With changes of the
                state also none.
            batch_id: an ID among the session's last 64 operations returns its first result and writes nothing, so that an
                append can be repeated. 1 to 128 characters. Default: a new one.
            expected_rev: refuse the append unless the session has this revision.
            state: values to set in the session's state, in the same step. A limit then refuses the append and does not end the
                session.
            remove_state: names to remove from the state, in the same step.
            request_turn: open a turn in the same step, so that a worker of the agent in `answered_by` answers the batch. Not
                together with changes of the state. Two round trips with the first turn of a session in a process.
            usage: the usage of an API response, as its SDK or its JSON gives it. Its output tokens are the count of the model's
                answer in the batch, instead of the estimates. The items of an answer share them.
            if_state: refuse the append unless the state has these values. None for a name that the state must not have. If the
                values have more than 8 KB in all, the client compares them first, which costs one more round trip.
            shared: values to set in shared scopes, by scope and name. See `cache.shared`. The session keeps the values with the
                messages, in the same step. Then each scope takes its values once and in order, by a second round trip. If this
                process dies before, the next `load`, or append with `shared`, applies the values.
            remove_shared: names to remove from shared scopes, by scope.

        Returns:
            The place of the batch, and the state of the session after it.

        Raises:
            SessionNotFound, SessionReplaced: the session is gone.
            SessionNotActive: the session is paused or has ended.
            SessionLocked, LeaseLost: another worker holds the session's lease.
            RevisionConflict: the session does not have the expected revision.
            StateConflict: the state has another value than `if_state` names.
            LimitExceeded, MessageTooLarge: a limit of the session refuses the batch.
            SessionRegressed: a failover lost messages that the server acknowledged to this handle.
            OutcomeUnknown: no answer came within `retry_for`. The error has the batch ID, with which the append can be repeated.
            BoundExceeded: the state, or a shared scope, would exceed a bound. For a scope the messages are stored, and the
                values that the scope refused are dropped.
            InvalidInput: a message is not valid.

        Cost: one round trip, atomic. The cost does not grow with the length of the session. With `shared` two round trips, in a
        cluster one more for each further node.
        """
        has_state = state is not None or bool(remove_state) or if_state is not None
        if request_turn:
            if has_state or shared or remove_shared:
                raise InvalidInput(name="request_turn", detail="and changes of the state exclude each other")
            return self._append_and_request_turn(batch, batch_id, expected_rev, usage)
        if has_state or shared or remove_shared:
            changed = changes(shared or {}, remove_shared or {}, self._context.bounds, self._context.chain)
            return self._append_with_state(
                batch, batch_id, expected_rev, state, remove_state, if_state, usage, changed
            )  # fmt: skip
        call = messages.append(
            self._keys,
            *self._guard(),
            batch,
            self._counter,
            batch_id=batch_id,
            expected_rev=expected_rev,
            seen=self._seen,
            knows_format=self._knows_format,
            usage=usage,
            bounds=self._context.bounds,
        )
        if self._keys.session in self._context.with_deltas:
            call.last_keys = (self._keys.deltas,)
        try:
            result, incarnation = self._run(call)
        except LimitExceeded as problem:
            self._context.run_queues.finish_limit_end(self._keys, self._incarnation, problem)
            raise
        if call.last_keys:
            self._context.with_deltas.discard(self._keys.session)
        self._learn(incarnation, result.last_seq, knows_format=call.arguments["format"] != "")
        return result

    def _append_and_request_turn(
        self, batch: tuple[MessageLike, ...], batch_id: str | None, expected_rev: int | None, usage: Any
    ) -> AppendResult:
        append = messages.append(
            self._keys, *self._guard(), batch, self._counter, batch_id=batch_id, expected_rev=expected_rev, seen=self._seen,
            knows_format=self._knows_format, usage=usage, bounds=self._context.bounds,
        )  # fmt: skip
        queues = self._context.run_queues

        with self._context.telemetry.requesting("send", self.id) as request:

            def attempt(agent: str, queue: AgentKeys | None) -> tuple[AppendResult, str]:
                request.name_agent(agent)
                return self._run(inbox.append_and_request_turn(append, agent, queue, request.traceparent))

            try:
                result, incarnation = queues.send(self._keys, attempt)
            except LimitExceeded as problem:
                queues.finish_limit_end(self._keys, self._incarnation, problem)
                raise
        self._learn(incarnation, result.last_seq)
        return result

    def send(self, message: str | MessageLike, *, batch_id: str | None = None) -> SendResult:
        """Send one message. `send` never waits, and the message never comes between the messages of a lease holder.

        While another worker holds the lease, the message waits in the session's inbox, in order. Otherwise the message is
        appended, behind the messages that still wait there. If the holder dies, this process, a worker or `recover` moves the
        inbox into the transcript within a second after the end of the lease.

        If an agent answers the session (`answered_by`), a user message or a tool result opens a turn in the same step. A worker
        of the agent claims the turn, at once or when the lease is free.

        Args:
            message: text, which becomes a user message, or a message.
            batch_id: makes the send happen once, however often it is repeated. See `append`.

        Raises:
            SessionNotActive: the session is paused or has ended.
            MessageTooLarge: the message exceeds `max_message_bytes`.
            LimitExceeded: a limit of the session refuses the message, or `max_inbox` messages wait.
            BoundExceeded: the messages that wait would have more bytes than the bound `inbox_bytes` says.
            OutcomeUnknown: no answer came within `retry_for`. Repeat the call with the batch ID of the error.

        Cost: one round trip, atomic. Two with the first message of this process to a session that an agent answers. In a cluster
        one more if an agent answers the session, or its lease is held.
        """
        one = Message("user", message) if isinstance(message, str) else message
        batch = operation_id_of(batch_id)
        queues = self._context.run_queues

        request = self._context.telemetry.requesting("send", self.id)

        def attempt(agent: str, queue: AgentKeys | None) -> inbox.Sent:
            request.name_agent(agent)
            call = inbox.send(
                self._keys, *self._guard(), one, self._counter, batch, agent, queue, self._context.bounds,
                knows_format=self._knows_format, traceparent=request.traceparent,
            )  # fmt: skip
            return self._run(call)

        try:
            with request:
                result, incarnation, left_ms = queues.send(self._keys, attempt)
        except LimitExceeded as problem:
            queues.finish_limit_end(self._keys, self._incarnation, problem)
            raise
        self._learn(incarnation, result.seq or 0)
        if left_ms > 0:
            queues.watch_inbox(self._keys, left_ms)
        return result

    def lease(
        self,
        ttl: Duration = 30.0,
        wait: Duration = 10.0,
        *,
        owner: str | None = None,
        max_hold: Duration | None = None,
    ) -> Lease[Session]:
        """Return the lease of this session, for `with session.lease() as lease:`. No round trip.

        Args:
            ttl: how long the lease outlives a holder that dies, 0.1 s to a day. A held lease is renewed.
            wait: how long to wait for the lease, 0 to a day.
            owner: the name that others see as the holder. Default: '<host>:<process ID>'.
            max_hold: how long the lease is renewed at most, 0.1 s or more. Then the lease ends, and `lost` is set. Default: no
                bound.
        """
        return Lease(self, self._under_lease, ttl, wait, owner, max_hold)

    def fork(
        self, up_to_seq: int | None = None, *, batch_id: str | None = None, **given: Unpack[SessionPatch]
    ) -> Session:
        """Copy this session into a new one: a branch that goes on from one of its messages.

        The new session gets the messages with their seqs, the system prompt, the state, the variables, the description and the
        options. The new session is the root of a tree of its own, without lease, inbox, children, ledger and open turn. Its ID is
        new, in the same slot, and its kind is `main` unless another is given.

        Args:
            up_to_seq: the last message that is copied. A group must end with it. Default: all messages but a tool call that
                still waits for its result.
            batch_id: makes the fork happen once: the same batch ID returns the same session.
            **given: descriptions and options that the new session has instead. See `create`. `metadata` is merged key by key.
                None unsets a description, as in `patch`.

        Returns:
            The handle on the new session.

        Raises:
            EditConflict: a group does not end with the message. The error has the nearest seqs with which one ends.
            SessionNotFound, SessionReplaced: this session is gone.
            ConcurrentModification: others wrote while a long session was copied, in each of 5 attempts.

        The copy is as of one moment, and the new session appears as a whole.

        Cost: two round trips. A session of more than 2 MB or 2,000 messages takes one more for each part of half as much.
        """
        checked_names(given, SessionPatch)
        context = self._context
        described: dict[str, Any] = {
            name: value for name, value in given.items() if name in Description.__annotations__
        }
        options = {name: value for name, value in given.items() if name not in described}
        info = self.info()
        settings = SessionSettings.of(options, context.settings)
        seed = None if batch_id is None else f"{info.incarnation} fork {operation_id_of(batch_id)}"
        new = context.keys(new_id(self._keys.tag, seed))
        incarnation = new_incarnation() if seed is None else new_id(None, seed)[-12:]
        if info.answered_by is not None:
            described.setdefault("answered_by", info.answered_by)
        unset = unset_fields(described)
        fields = dict(description_fields(self._counter, context.bounds, **described))
        check_fields(context.bounds, forks.copied_metadata(info) | fields)
        if context.chain is not None:
            self._keys.origins = self._run(forks.origins_of(self._keys))
            mark_files_copied(context, self._keys)
            fields["origins"] = encoded_origins(context.chain, new.id, copy_origins(self._keys))
        if described.get("answered_by") is not None:
            context.run_queues.register_agent(described["answered_by"])
        call = forks.fork(self._keys, self._incarnation, new, incarnation, up_to_seq, options, settings, fields, unset)
        listed = {name: value for name, value in forks.copied_index_fields(info).items() if name not in unset} | fields
        with context.indexer.creation(new, listed, settings.ttl_ms) as call.hints:
            found = run_copy(
                self._executor, context.namespace, self._keys, self._incarnation, new, call, self._executor.run
            )
        context.indexer.repair_later([new.id], may_be_new=False)
        return Session(context, new, found.incarnation)

    def reencrypt(self) -> int:
        """Store the values of this session with the present codecs and the current key. See `reencrypt` of the cache.

        Returns:
            The number of values that were replaced. Values that others wrote during the call have the key of their writer.

        Raises:
            DecryptionError, CodecMissing: a value cannot be decoded. Values that were replaced before stay replaced.
            InvalidInput: the cache has no codecs.
        """
        return reencrypt_session(self._context, self._keys, self._incarnation)

    def retry_on_conflict(self, function: Callable[[SessionInfo], T], *, attempts: int = 10) -> T:
        """Call a function with the session's info, and again when its write met a RevisionConflict.

        Args:
            function: writes with `expected_rev=info.rev`.
            attempts: how often the function is called, 1 to 1,000.

        Returns:
            The result of the function.

        Raises:
            RevisionConflict: every attempt met one.
        """
        check_function(function, "function")
        for attempt in range(1, whole(attempts, "attempts", minimum=1, maximum=1000) + 1):
            try:
                return function(self.info())
            except RevisionConflict:
                if attempt == attempts:
                    raise
                primitives.sleep(random.uniform(0, min(0.002 * 2**attempt, 0.2)))
        raise AssertionError("unreachable: the last attempt returns or raises")

    # -- the session itself --------------------------------------------------------------------------------------

    def info(self) -> SessionInfo:
        """Return everything about the session but its messages and state, as of one moment."""
        info = self._executor.run(sessions.info(self._keys, self._incarnation))
        if info.last_seq < self._seen:
            raise SessionRegressed(session_id=self.id, known=info.last_seq, seen=self._seen)
        return info

    def check_limits(self) -> LimitCheck:
        """Return the first of turns, entries and duration that is reached or exceeded, else ok."""
        return (self.info()).check_limits()

    def patch(
        self,
        *,
        expected_rev: int | None = None,
        remove_metadata: Sequence[str] = (),
        **changes: Unpack[SessionPatch],
    ) -> int:
        """Change the description and the options of the session.

        Args:
            expected_rev: refuse the patch unless the session has this revision.
            remove_metadata: metadata keys to remove.
            **changes: descriptions and options, as in `create`. `metadata` is merged key by key. None unsets user_id, agent_id,
                parent_id, name, type, tags, system_prompt, format, priority, fairness_key and answered_by. Without answered_by
                an open turn ends unanswered. A lower cap takes effect with the next append. Bounds of a tree can be changed at
                its root. `kind`, `formation` and `max_lifetime` are set at creation only.

        Returns:
            The new revision.

        Raises:
            RevisionConflict: the session does not have the expected revision.
            InvalidInput: a change is not valid. Nothing was written.

        Cost: one round trip. One more when user, agent or tags change. Two more when `answered_by` changes, because an open turn
        moves to the queue of its agent, or when a limit changes, because a message that the limit refused may enter from the
        inbox.
        """
        checked_names(changes, SessionPatch)
        self._knows_format = self._knows_format and "format" not in changes
        for name in ("kind", "formation", "max_lifetime"):
            if name in changes:
                raise InvalidInput(name=name, detail="is set at the creation of a session and cannot be changed")
        described: dict[str, Any] = {
            name: value for name, value in changes.items() if name in Description.__annotations__
        }
        options = {name: value for name, value in changes.items() if name not in described}
        removed = [
            f"meta.{checked_text(key, 'remove_metadata')}"
            for key in dict.fromkeys(texts(remove_metadata, "remove_metadata"))
        ]
        check_number(self._context.bounds, "values", len(removed), "remove_metadata")
        sets = description_fields(
            self._counter,
            self._context.bounds,
            **{name: value for name, value in described.items() if value is not None},
        )
        unset = unset_fields(described)
        call = sessions.patch(
            self._keys, *self._guard(), sets, [*unset, *removed], options, self._context.bounds, expected_rev=expected_rev
        )  # fmt: skip
        if call.index_effect == "may_relist":
            call.hints = self._context.indexer.relisting(self._keys, {**sets, **dict.fromkeys(unset)})
        if _MAY_OPEN_TURN.isdisjoint(changes):
            return self._run(call)
        queues, agent = self._context.run_queues, changes.get("answered_by")
        if agent is not None:
            queues.register_agent(agent)
        rev = self._run(call)
        queues.advance(self._keys)
        return rev

    def touch(self, ttl: Duration | None = None) -> timedelta | None:
        """Extend the session's life. Never shorten it, never pass `max_lifetime`, and change nothing else.

        Args:
            ttl: the idle life from now. Default: the session's own.

        Returns:
            The life left. None for a persistent session.
        """
        return self._executor.run(sessions.touch(self._keys, self._incarnation, ttl))

    def delete(self, *, expected_rev: int | None = None) -> bool:
        """Delete the session with everything it owns, and all sessions below it. Return whether it existed.

        A session of a tree is cancelled first, so that from then on no session below it writes.

        Args:
            expected_rev: delete the session only if it has this revision. A session of a tree is compared in the step that
                cancels it. A session that ended before is compared again when the sessions below it are gone.

        Raises:
            RevisionConflict: the session has another revision. The session stays.
            SessionReplaced: another session has the ID by now. That session stays.
            SessionDamaged: the revision of a damaged session cannot be read. Delete it without `expected_rev`.
            OutcomeUnknown: no answer came. A handle of `create` or `open` repeats the call, and one made by ID alone does not.

        A repeated call whose first attempt deleted the session returns False, and deletes nothing else.

        Cost: one round trip for a session without a tree, three for a child without children. Otherwise at most eight, and one
        for each 25 sessions below it.
        """
        try:
            existed = deleter.delete_session(self._context, self._keys, *self._guard(), expected_rev)
        except LeaseLost:
            self._mark_lease_lost()
            raise
        self._end_of_work()
        if existed:
            self._context.auditor.record("delete", session_id=self.id)
        return existed

    def export(self, *, tree: bool = True, key: str | bytes | None = None) -> Iterator[str]:
        """Yield the lines of an export (JSON Lines, without newlines), for `cache.import_sessions`.

        Each session is exported as of one moment. Nothing is locked: a session that changes during the export is read again,
        at most 5 times.

        Args:
            tree: export all sessions below this one, too.
            key: at least 16 bytes. The export ends with its signature, HMAC-SHA256 of all lines with this key.

        Raises:
            InvalidInput: the key is too short.
            ConcurrentModification: the sessions changed too fast. Pause the session, then export again.

        Cost: one round trip for each 1,000 messages or 1 MB, which is about the most that is in memory.
        """
        return export_import.export(self._context, self._keys, self._incarnation, tree, key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"
