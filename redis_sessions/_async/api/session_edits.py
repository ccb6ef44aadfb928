"""Methods that edit a session's transcript: pin, clear, compact, pop, replace, abandon calls, fork, import messages."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..._core.commands import edits, forks, outbox, pops
from ..._core.commands import state as state_calls
from ..._core.commands.messages import MessageLike
from ..._core.commands.outbox import Waiting
from ..._core.commands.shared import ScopeChange
from ..._core.protocol.ids import new_operation_id, operation_id_of
from ..._durations import whole
from ...errors import BoundExceeded, CompactionConflict, EditConflict, InvalidInput, SessionNotFound
from ...models.messages import Message
from ...models.results import AppendResult
from ..services.history import read_history, read_page
from ..transport import primitives, tasks
from .session_base import AsyncSessionBase


class AsyncSessionEdits(AsyncSessionBase):
    """The transcript of one session, as it is edited. Each edit is atomic, and happens once for a `batch_id`.

    Seqs are never used twice: removed messages leave a gap. A watcher gets an `edit` event.
    """

    async def pin(self, seq: int, *, expected_rev: int | None = None) -> int:
        """Keep a message and its group whatever the cap drops. At most half of the cap may be pinned. Return the new revision.

        Raises MessageNotFound, LimitExceeded.
        """
        return await self._run(edits.pin(self._keys, *self._guard(), seq, pinned=True, expected_rev=expected_rev))

    async def unpin(self, seq: int, *, expected_rev: int | None = None) -> int:
        """End the pin of a message and its group. Messages that only the pin kept are dropped. Return the new revision.

        Raises MessageNotFound.
        """
        return await self._run(edits.pin(self._keys, *self._guard(), seq, pinned=False, expected_rev=expected_rev))

    async def clear(self, *, batch_id: str | None = None, expected_rev: int | None = None) -> int:
        """Remove all messages and reset their counts. Seqs go on. The system prompt and the state stay.

        Args:
            batch_id: makes the removal happen once, however often it is repeated.
            expected_rev: refuse the removal unless the session has this revision.

        Returns:
            The new revision.
        """
        call = edits.edit(
            self._keys,
            *self._guard(),
            (),
            self._counter,
            "clear",
            after_seq=0,
            batch_id=batch_id,
            expected_rev=expected_rev,
        )
        return (await self._run(call))[0].rev

    async def pop(
        self, *, group: bool = False, batch_id: str | None = None, expected_rev: int | None = None
    ) -> list[Message]:
        """Remove and return the newest message, or the newest group.

        Of several callers each gets other messages. A call whose result is popped waits for a result again.

        Args:
            group: remove the newest tool call with its results, or the newest message if it belongs to no call.
            batch_id: makes the removal happen once. A repeated call removes nothing and returns the same messages, for a minute
                and 64 operations of the session. After 64 operations a repeated call removes other messages.
            expected_rev: refuse the removal unless the session has this revision.

        Returns:
            The removed messages, oldest first. [] for a session without messages.

        Raises:
            EditConflict: other messages came, in each attempt of `retry_for` seconds.
            OutcomeUnknown: the call is repeated, and the messages that it may have removed are not kept any more.

        Cost: one round trip. Two for a group, and for a message that codecs encoded, because only a message that can be read is
        removed. Each writer that comes between the two costs the same again.
        """
        if expected_rev is not None:
            whole(expected_rev, "expected_rev")
        batch = operation_id_of(batch_id)
        due = time.monotonic() + self._executor.retry_for
        known = await self._newest_group() if group else []
        while True:
            call = pops.pop(
                self._keys, *self._guard(), known, only_known=group, batch_id=batch, expected_rev=expected_rev
            )
            popped = await self._run(call)
            if popped.is_removed or not popped.messages:
                return popped.messages
            if time.monotonic() >= due:
                raise EditConflict.from_reply(self.id, ["moved", *[str(popped.messages[0].seq)] * 2, "0", "0"])
            if group or known:
                await primitives.sleep(random.uniform(0, 0.005))
            known = await self._newest_group() if group else popped.messages

    async def _newest_group(self) -> list[Message]:
        """Return the newest tool call with its results, or the newest message."""
        page = await read_page(self._executor, self._keys, self._incarnation, limit=1, seen=self._seen)
        found = page.messages
        while found and found[0].continues_group:
            older = await read_page(
                self._executor, self._keys, self._incarnation, limit=len(found) * 2 + 2, after=0, below=found[0].seq
            )
            if not older.messages:
                break
            start = next((at for at, one in enumerate(older.messages[::-1]) if not one.continues_group), None)
            found = (older.messages if start is None else older.messages[-start - 1 :]) + found
        return found

    async def replace(
        self,
        *batch: MessageLike | int,
        after_seq: int | None = None,
        batch_id: str | None = None,
        expected_rev: int | None = None,
    ) -> AppendResult:
        """Replace the messages above a seq by others, or one message in its place.

        `replace(*messages)` replaces all messages. `replace(*messages, after_seq=7)` replaces those above seq 7, for
        example to regenerate an answer. `replace(7, message)` redacts the message with
        seq 7: its time, its pin, its role, and the tool calls that it makes or answers stay. A paused or ended session can be
        redacted, too.

        Args:
            *batch: up to 2,000 messages (bound `batch_messages`), none to remove only. Or a seq and one message.
            after_seq: the last message that stays. Default: 0, so that none stays.
            batch_id: makes the edit happen once, however often it is repeated.
            expected_rev: refuse the edit unless the session has this revision.

        Returns:
            The place of the new messages, and the state of the session after it.

        Raises:
            EditConflict: `after_seq` lies beyond the newest message, or the message for one place has another role or
                other tool calls.
            MessageNotFound: no message with this seq is retained.
            RevisionConflict: the session does not have the expected revision.
            LimitExceeded, MessageTooLarge: a limit of the session refuses the messages. Nothing was removed.

        Cost: one round trip, atomic.
        """
        if batch and isinstance(batch[0], int) and not isinstance(batch[0], bool):
            if len(batch) != 2 or after_seq is not None:
                raise InvalidInput(name="batch", detail=f"must be a seq and one message, got {len(batch) - 1} messages")
            return await self._replace_one(batch[0], batch[1], batch_id, expected_rev)
        call = edits.edit(
            self._keys, *self._guard(), batch, self._counter, "replace", after_seq=after_seq or 0, batch_id=batch_id,
            expected_rev=expected_rev, bounds=self._context.bounds,
        )  # fmt: skip
        return self._noted(await self._run(call))

    async def _append_with_state(
        self,
        batch: tuple[MessageLike, ...],
        batch_id: str | None,
        expected_rev: int | None,
        state: Mapping[str, Any] | None,
        remove_state: Sequence[str],
        if_state: Mapping[str, Any] | None,
        usage: Any,
        changed: list[ScopeChange],
    ) -> AppendResult:
        wanted = state_calls.wanted_values(if_state, self._context.bounds)
        checks = state_calls.state_checks(self._keys, wanted, await self._stored_state(wanted))
        scopes, operation = self._context.scopes, new_operation_id()

        async def attempt() -> edits.Edited:
            call = edits.edit(
                self._keys, *self._guard(), batch, self._counter, state=state, remove_state=remove_state, checks=checks,
                usage=usage, seen=self._seen, batch_id=batch_id, expected_rev=expected_rev,
                writes=outbox.pack(changed, operation) if changed else b"", bounds=self._context.bounds,
            )  # fmt: skip
            call.hints = scopes.registrations([one.scope for one in changed], self.id)
            return await self._run(call)

        try:
            edited = await attempt()
        except BoundExceeded as problem:
            if problem.limit != "outbox_writes":
                raise
            await scopes.apply_waiting(self._keys, self._incarnation)
            edited = await attempt()
        result = self._noted(edited)
        if changed:
            own = Waiting(edited.incarnation, str(result.rev), [] if result.duplicate else changed, operation)
            await scopes.apply_own(self._keys, own, edited.waiting, result.batch_id)
        return result

    async def _stored_state(self, wanted: Mapping[str, str]) -> dict[str, bytes]:
        """Read the values that the client compares, because no script can: encoded ones, and large ones."""
        if not wanted or (self._context.chain is None and not state_calls.are_large(wanted)):
            return {}
        if self._context.chain is not None:
            try:
                self._keys.origins = await self._run(forks.origins_of(self._keys))
            except SessionNotFound:  # the append creates an ensured session, or raises
                return {}
        return await self._run(state_calls.stored_state(self._keys, list(wanted)))

    def _noted(self, edited: edits.Edited) -> AppendResult:
        """Return the result of an edit. The handle takes note of its incarnation and its place."""
        self._learn(edited.incarnation, edited.result.last_seq)
        return edited.result

    async def _replace_one(
        self, seq: int, message: MessageLike, batch_id: str | None, expected_rev: int | None
    ) -> AppendResult:
        call = edits.replace_message(
            self._keys, *self._guard(), seq, message, self._counter, batch_id=batch_id, expected_rev=expected_rev
        )
        return await self._run(call)

    async def abandon_calls(
        self, call_ids: Sequence[str] | None = None, *, batch_id: str | None = None, expected_rev: int | None = None
    ) -> int:
        """Give up tool calls that have no result yet, because their worker is gone.

        Their group ends, so the cap can drop it. A result that comes later stays in the history, marked as `is_late`, and no
        window contains it. The cap abandons calls by itself when it needs their place.

        Args:
            call_ids: the IDs of the calls. Default: all open calls.
            batch_id: makes the edit happen once. A repeated call returns the first number.
            expected_rev: refuse the edit unless the session has this revision.

        Returns:
            The number of calls that were open.

        Cost: one round trip, atomic.
        """
        call = edits.abandon_calls(
            self._keys, *self._guard(), call_ids, self._counter, batch_id=batch_id, expected_rev=expected_rev
        )
        return (await self._run(call))[0].abandoned

    async def compact(
        self,
        up_to_seq: int | None = None,
        summary: str | Callable[[list[Message]], Any] | None = None,
        *,
        keep: int | None = None,
        from_seq: int | None = None,
        batch_id: str | None = None,
        expected_rev: int | None = None,
    ) -> int:
        """Replace the oldest messages by one user message that sums them up, in the session's message format.

        The summary has the seq of the last replaced message. A summary stays until the next compaction replaces it, whatever the
        cap drops. Pinned messages stay. The counts of messages and turns stay.

        Args:
            up_to_seq: the last message to replace.
            summary: the text of the summary, or a function that makes it from the messages to be replaced.
            keep: instead of `up_to_seq`: how many of the newest messages stay, and more so that no group is cut.
            from_seq: the first message to replace. Refused when the retained messages do not begin there any more.
            batch_id: makes the compaction happen once. A repeated call returns the first result, but calls `summary` again.
            expected_rev: refuse the compaction unless the session has this revision.

        Returns:
            The seq that the range began with. 0 if `keep` leaves nothing to replace.

        Raises:
            CompactionConflict: the range is not retained any more, or ends in a pinned message or inside a group. The error has
                the nearest seqs that a range may end with.
            MessageTooLarge: the summary exceeds `max_message_bytes`.

        A range of more than about 1 MB or 2,000 messages is replaced in parts, the oldest first. Each part is atomic: the
        summary stands before what is left of the range. If the caller dies between two parts, the rest stays until the next
        compaction.

        Cost: two round trips, one more for each part. With `keep` or a function, one more for each page of the history.
        """
        if (up_to_seq is None) == (keep is None):
            raise InvalidInput(name="up_to_seq", detail="give either up_to_seq or keep")
        first = 0 if from_seq is None else whole(from_seq, "from_seq", minimum=1)
        last = 0 if up_to_seq is None else whole(up_to_seq, "up_to_seq", minimum=max(first, 1))
        summed_from = 0
        if keep is not None or callable(summary):
            found = await read_history(self._executor, self._keys, self._incarnation, seen=self._seen)
            listed = edits.compactable(found, up_to_seq, None if keep is None else whole(keep, "keep"))
            if not listed:
                return 0
            last, summed_from = listed[-1].seq, listed[0].seq
            if callable(summary):
                summary = await tasks.result_of(summary(listed))
        format = await self._executor.run(edits.message_format(self._keys, self._incarnation))
        batch, entry = edits.summary_entry(
            self._keys, summary, first or summed_from, last, self._counter, format, batch_id
        )
        began = part = 0
        while True:
            call = edits.compact(
                self._keys, *self._guard(), first, last, batch, entry, began=began, part=part,
                expected_rev=expected_rev if part == 0 else None,
            )  # fmt: skip
            try:
                compacted = await self._run(call)
            except CompactionConflict as conflict:
                if keep is None or conflict.reason != "dropped":
                    raise
                return 0  # the only older messages are those that the cap passed, and keeps
            if compacted.is_last:
                return compacted.first
            began, part = compacted.first, part + 1

    async def import_messages(self, batch: Iterable[MessageLike], *, batch_id: str | None = None) -> AppendResult:
        """Fill an empty session with the messages of another store: all or none.

        System and developer messages that come first become the system prompt, and so do the system prompts in the first
        request of pydantic-ai. The others are stored as they are, so their own IDs and times stay in their payloads.
        `Message.timestamp` is the time of the import.

        Args:
            batch: messages in their order: up to 2,000 (bound `batch_messages`) with up to 800 tool calls and results
                (`batch_calls`).
            batch_id: makes the import happen once, however often it is repeated.

        Returns:
            The place of the messages.

        Raises:
            EditConflict: the session had messages before.
            StateConflict: the session has a system prompt, and the messages begin with one.
            InvalidInput: a message is not valid.

        Cost: one round trip, atomic.
        """
        call = edits.import_messages(
            self._keys, *self._guard(), batch, self._counter, self._context.bounds, batch_id=batch_id
        )
        return self._noted(await self._run(call))
