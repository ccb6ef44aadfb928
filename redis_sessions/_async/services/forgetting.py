"""Forget a user: remove the user's sessions, and everything that other keys say of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..._core.commands import (
    forgetting,
    index_entries,
    sessions,
    stored_values,
)
from ..._core.commands.forgetting import SessionFacts
from ..._core.commands.index_entries import CREATION_GRACE_MS
from ..._core.protocol.call import Call
from ..._core.protocol.keys import EntryKeys, SessionKeys, index_keys, session_keys
from ...errors import SessionDamaged, SessionReplaced, SessionsError, StoreFull
from ...models.forgetting import MAX_FORGOTTEN_IDS, ForgetResult
from ..transport import primitives
from ..transport.executor import Executor
from . import erased_results, unlisted
from .blob_sweeper import forget_files
from .context import CacheContext
from .deleter import delete_session
from .forgotten_channels import forget_channel
from .forgotten_values import forget_documents, forget_scopes
from .mistyped_keys import remove_all, run_all, run_or_default
from .tree_members import list_members
from .user_quarantine import UserQuarantine
from .worker_registry import leave_workers

_COUNTED = (
    "messages", "results", "index_entries", "queue_entries", "channels", "worker_records", "documents",
    "shared_values", "files", "files_left",
)  # fmt: skip
_BATCH = 100
_MISTYPED = b"\0"
"""Stands for the members of a zset whose key has another type. No ID has this character."""
_PAUSE_SECONDS = 0.5
"""The pause between two looks at entries whose sessions may be under creation."""


class Forgetting:
    """One call of `forget`. All that it does can be repeated, so a call that broke off is made again."""

    def __init__(self, context: CacheContext, user: str) -> None:
        self._context = context
        self._user = user
        self._began_us = 0
        self._counts = dict.fromkeys(_COUNTED, 0)
        self._quarantine = UserQuarantine(context, user)
        self._categories: list[str] = []
        self._scopes: list[str] = []
        self._forgotten: set[str] = set()
        self._ids: list[str] = []
        self._mistyped: list[str] = []
        """IDs that were read last whose keys have another type than a session has."""
        self._newer: set[str] = set()
        """Sessions of the user that were created since the call began."""
        self._problem: SessionDamaged | None = None
        """The damage of a session of another user, from which a result could not be erased."""

    async def run(self, *, find_unlisted: bool, documents: bool) -> ForgetResult:
        """Forget the user. Return what was removed."""
        self._began_us = await self._now_us()
        await self._quarantine.forget_own()
        if find_unlisted:
            async for ids in unlisted.sessions_of(self._context, self._user):
                await self._forget_batch(ids)
        for index in forgetting.user_indexes(self._context.namespace, self._user):
            for zset in index[2:]:
                await self._forget_listed(index, zset)
        await self._await_creations()
        self._counts["worker_records"] += await leave_workers(self._executor, self._context.namespace)
        self._counts["channels"] += await forget_channel(self._context, self._user, self._forgotten)
        if find_unlisted:
            channels, places = await unlisted.remove_traces(self._context, self._user, self._forgotten)
            self._counts["channels"] += channels
            self._counts["queue_entries"] += places
        if documents:
            count = await forget_documents(self._context, self._user, self._categories, find_unlisted)
            self._counts["documents"] += count
        count = await forget_scopes(self._context, self._user, self._scopes, find_unlisted)
        self._counts["shared_values"] += count
        self._counts["files"], self._counts["files_left"] = await forget_files(
            self._context, self._forgotten, self._categories, find_copies=find_unlisted
        )
        if self._problem is not None:
            raise self._problem
        return self.result()

    def result(self) -> ForgetResult:
        """Return what was removed so far."""
        return ForgetResult(
            self._user, sessions=len(self._forgotten), session_ids=tuple(self._ids), categories=tuple(self._categories),
            scopes=tuple(self._scopes),
            quarantined=self._quarantine.removed, remaining=len(self._newer), **self._counts,
        )  # fmt: skip

    # -- sessions ----------------------------------------------------------------------------------------------------

    async def _forget_listed(self, index: EntryKeys, zset: str) -> list[str]:
        """Forget the sessions in a zset of the user. Return those whose entries stay: they may be under creation."""
        left: list[str] = []
        while True:
            call = forgetting.list_members(zset, index, len(left), _BATCH)
            found = await run_or_default(self._executor, call, [_MISTYPED])
            if found == [_MISTYPED]:
                found = []
                await self._executor.run(forgetting.drop(zset, index))
            if not found:
                return left
            ids, others = forgetting.ids_of(found)
            if others:
                await self._executor.run(forgetting.remove_members(zset, index, others))
            left += await self._forget_batch(ids, index)

    async def _await_creations(self) -> None:
        """Wait until each entry whose session does not exist is one of a session, or is old enough to be removed."""
        due = time.monotonic() + CREATION_GRACE_MS / 1000 + _PAUSE_SECONDS
        while time.monotonic() < due:
            left: list[str] = []
            for index in forgetting.user_indexes(self._context.namespace, self._user):
                for zset in index[2:]:
                    left += await self._forget_listed(index, zset)
            if not set(left) - self._newer:
                return
            await primitives.sleep(_PAUSE_SECONDS)

    async def _forget_batch(self, ids: Sequence[str], index: EntryKeys | None = None) -> list[str]:
        """Forget sessions that an index of the user, or their own hash, names. Return those whose entries stay."""
        found = await self._read(ids)
        if index is not None:
            await self._forget_mistyped()
        own = [one for one in found.values() if one is not None and self._is_old_own(one)]
        await self._forget_sessions(own)
        if index is None:
            return []
        stays: list[str] = []
        others = [id for id in ids if id not in self._forgotten]
        recent = await self._recent_of(index, others)
        for id in others:
            facts = found[id]
            if facts is not None and facts.user == self._user:
                stays.append(id)
                self._newer.add(id)
            elif id in recent:
                stays.append(id)
        await self._forget_rest([id for id in others if id not in stays and found[id] is None])
        self._counts["index_entries"] += await remove_all(
            self._context, [([index], [id for id in ids if id not in stays])]
        )
        return stays

    async def _forget_rest(self, ids: Sequence[str]) -> None:
        """Delete what is left of sessions whose hash is gone, perhaps lost by the server: transcripts, ledgers, entries."""
        gone = [session_keys(self._context.namespace, id) for id in ids]
        await run_all(self._executor, [stored_values.set_aside(keys, stored_values.NO_SESSION) for keys in gone])
        self._counts["index_entries"] += await remove_all(
            self._context, [(self._shared(keys), [keys.id]) for keys in gone]
        )
        for id in ids:
            await self._quarantine.forget_of(id)

    async def _forget_mistyped(self) -> None:
        """Delete keys of another type that an index of the user names as sessions."""
        ids, self._mistyped = self._mistyped, []
        everything = [session_keys(self._context.namespace, id) for id in ids]
        await run_all(self._executor, [stored_values.set_aside(keys, stored_values.NO_SESSION) for keys in everything])
        self._counts["index_entries"] += await remove_all(
            self._context, [(self._shared(keys), [keys.id]) for keys in everything]
        )
        self._forgotten.update(ids)
        self._ids += ids[: MAX_FORGOTTEN_IDS - len(self._ids)]

    def _is_old_own(self, facts: SessionFacts) -> bool:
        return facts.user == self._user and facts.created_us <= self._began_us

    async def _recent_of(self, index: EntryKeys, ids: Sequence[str]) -> set[str]:
        """Return the IDs whose entries may belong to sessions that are being created, or are about to belong to the user."""
        if not ids:
            return set()
        times = await run_all(self._executor, [call for id in ids for call in forgetting.entry_times(index, id)])
        limit = await self._now_us() - CREATION_GRACE_MS * 1000
        each = len(index) - 2
        return {id for at, id in enumerate(ids) if max(times[at * each : (at + 1) * each]) > limit}

    async def _forget_sessions(self, found: Sequence[SessionFacts]) -> None:
        """Forget sessions with all that is below them. Each step before the deletion can be repeated after a break."""
        alone = [one for one in found if not one.is_in_tree]
        await self._forget_alone(alone)
        for one in found:
            if one.is_in_tree and one.id not in self._forgotten:
                await self._forget_tree(await self._highest_own(one))

    async def _forget_alone(self, found: Sequence[SessionFacts]) -> None:
        """Forget sessions without a tree, many in one round trip."""
        await self._clean_up(found)
        calls = [sessions.delete(self._keys(one), one.incarnation, "") for one in found]
        results = await self._executor.run_many(calls)
        gone: list[SessionFacts] = []
        for one, result in zip(found, results, strict=True):
            is_left = isinstance(result, SessionsError) or result.outcome in ("open", "parent")
            if not is_left or await self._delete(one):
                gone.append(one)
        await self._remove_leftovers(gone)

    async def _forget_tree(self, top: SessionFacts) -> None:
        """Forget a session with all sessions below it. A parent that belongs to another user loses the result."""
        below = await self._read_below(top)
        everything = [top, *below]
        if top.ancestors:
            await erased_results.cancel_child(self._context, top)
            try:
                self._counts["results"] += await erased_results.erase_results(self._context, top)
            except SessionDamaged as problem:
                self._problem = problem  # the session stays, because only it knows what is to be erased there
                return
        await self._clean_up(everything)
        if not await self._delete(top):
            return
        if top.ancestors:
            await erased_results.prune_members(self._context, top)
        await self._remove_leftovers(everything)

    async def _delete(self, one: SessionFacts) -> bool:
        """Delete a session. False when it was deleted and created again since: the new one stays, with its entries."""
        try:
            await delete_session(self._context, self._keys(one), one.incarnation, "")
        except SessionReplaced:
            self._context.indexer.repair_later([one.id], may_be_new=False)
            return False
        return True

    async def _highest_own(self, facts: SessionFacts) -> SessionFacts:
        """Return the ancestor nearest to the root that belongs to the user, or the session itself."""
        ancestors = await self._read(facts.ancestors)
        for id in reversed(facts.ancestors):
            one = ancestors[id]
            if one is not None and one.user == self._user:
                return one
        return facts

    async def _read_below(self, top: SessionFacts) -> list[SessionFacts]:
        try:
            members = await list_members(self._executor, self._keys(top), "", recursive=True)
        except SessionsError:
            return []  # damaged: the deletion finds what is below it
        found = await self._read([member.id for member in members.members])
        return [one for one in found.values() if one is not None]

    # -- what other keys say of them -----------------------------------------------------------------------------------

    async def _clean_up(self, found: Sequence[SessionFacts]) -> None:
        """Remove sessions from queues, from the index of leases and from channels. Keep marked entries in the user's indexes."""
        namespace = self._context.namespace
        calls: list[Call[Any]] = []
        for one in found:
            calls += forgetting.leave_queues(namespace, one)
            if "lease" in one.fields:
                calls.append(forgetting.leave_leases(index_keys(namespace, "leases"), one.id))
        self._counts["queue_entries"] += sum(await run_all(self._executor, calls))
        own_indexes = forgetting.user_indexes(namespace, self._user)
        await self._remove_entries_of(found, own_indexes)
        for one in found:
            await self._quarantine.forget_of(one.id)
            if "channel" in one.fields:
                self._counts["channels"] += await forget_channel(
                    self._context, one.text("channel"), {one.id, *self._forgotten}
                )
        own = [one.id for one in found if one.user == self._user]
        marks = [call for index in own_indexes for call in forgetting.mark_entries(index, own)]
        if own:
            with suppress(StoreFull):  # a call after a break then keeps the entries of recent sessions for a while
                await run_all(self._executor, marks)

    async def _remove_leftovers(self, found: Sequence[SessionFacts]) -> None:
        """Remove the index entries of sessions that are deleted, and what was written while they were deleted."""
        for one in found:
            self._forgotten.add(one.id)
            self._counts["messages"] += one.messages
            if len(self._ids) < MAX_FORGOTTEN_IDS:
                self._ids.append(one.id)
        await run_all(self._executor, [sessions.remove_rest(self._keys(one)) for one in found])
        await self._remove_entries_of(found, ())
        namespace = self._context.namespace
        working = [one for one in found if "run" in one.fields or "lease" in one.fields]
        await run_all(self._executor, [call for one in working for call in forgetting.leave_queues(namespace, one)])

    async def _remove_entries_of(self, found: Sequence[SessionFacts], but: Sequence[EntryKeys]) -> None:
        """Remove sessions from the indexes that list them, but for some indexes."""
        listed = [(one.id, one.record.entries(self._context.namespace, self._keys(one).tag)) for one in found]
        self._counts["index_entries"] += await remove_all(
            self._context, [([index for index in entries if index not in but], [id]) for id, entries in listed]
        )

    # -- calls -------------------------------------------------------------------------------------------------------

    @property
    def _executor(self) -> Executor:
        return self._context.executor

    def _shared(self, keys: SessionKeys) -> list[EntryKeys]:
        return forgetting.shared_indexes(self._context.namespace, keys.tag)

    def _keys(self, facts: SessionFacts) -> SessionKeys:
        keys = session_keys(self._context.namespace, facts.id)
        keys.set_ancestors(facts.ancestors)
        return keys

    async def _now_us(self) -> int:
        return await self._executor.run(index_entries.server_time(self._context.namespace))

    async def _read(self, ids: Sequence[str]) -> dict[str, SessionFacts | None]:
        calls = [forgetting.read_facts(session_keys(self._context.namespace, id)) for id in ids]
        found = await self._executor.run_many(calls)
        self._mistyped = [id for id, one in zip(ids, found, strict=True) if stored_values.is_wrong_type(one)]
        return {id: stored_values.result_or_default(one, None) for id, one in zip(ids, found, strict=True)}
