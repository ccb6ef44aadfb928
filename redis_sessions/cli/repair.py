"""`doctor --repair`: move damaged data out of the way, into the quarantine, while the fleet runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from .._core.commands import conversations, forgetting, index_entries, quarantine, stored_parts, stored_values
from .._core.commands.stored_parts import StoredPart
from .._core.commands.stored_values import NO_SESSION
from .._core.protocol.call import Call
from .._core.protocol.found_keys import (
    channel_of,
    every_channel,
    every_messages,
    every_session,
    listed_session_of,
    session_id_of,
)
from .._core.protocol.ids import check_id
from .._core.protocol.keys import (
    AgentKeys,
    ChannelKeys,
    EntryKeys,
    QuarantineKeys,
    SessionKeys,
    quarantine_index,
    quarantine_keys,
    session_keys,
)
from .._core.protocol.work import is_work
from .._core.transfer import damage
from .._core.transfer.damage import Damage
from .._log_events import DATA_REPAIRED
from .._sync.api.cache import SessionCache
from .._sync.services import part_export, unlisted
from .._sync.services.mistyped_keys import run_or_default
from ..errors import SessionDamaged, SessionNotFound, SessionReplaced, StoreError

T = TypeVar("T")
_PAGE = 100
_MAX_LOOKS = 3
"""The number of looks at a session that changes while it is checked."""


class Repair(NamedTuple):
    """One damaged thing, and what was done about it."""

    kind: str
    """session, value, message, member, channel or key."""
    name: str
    """The session, queue, index or channel."""
    problem: str
    key: str
    """The key of the quarantine that holds the damaged data."""
    is_repaired: bool


class Repairer:
    """One pass over the sessions, queues, indexes and channels of a cache."""

    def __init__(self, cache: SessionCache, dry_run: bool) -> None:
        self._cache = cache
        self._context = cache._context
        self._namespace = cache.namespace
        self._dry_run = dry_run
        self._at_ms = 0
        self.checked = 0
        """The number of sessions that were checked."""

    def run(self, progress: Callable[[int], None]) -> Iterator[Repair]:
        """Check everything, and yield what is damaged.

        Cost: reads all sessions with their messages, and the names of all keys four times.
        """
        self._at_ms = self._run(index_entries.server_time(self._namespace)) // 1000
        for one in self._find(progress):
            if one.is_repaired:
                id = one.name if one.kind in ("session", "value", "message") else None
                details = {"kind": one.kind, "key": one.key}
                self._context.auditor.record("repair", session_id=id, details=details)
                text = "%s %s is damaged, and was moved to %s: %s"
                DATA_REPAIRED.log(
                    text, one.kind, one.name, one.key, one.problem, session_id=id, kind=one.kind, key=one.key
                )
            yield one

    def _find(self, progress: Callable[[int], None]) -> Iterator[Repair]:
        for key in unlisted.scan(self._context, every_session(self._namespace)):
            id = session_id_of(self._namespace, key)
            if id is not None:
                yield from self._check_session(session_keys(self._namespace, id))
                self.checked += 1
                progress(self.checked)
        yield from self._check_lists()
        yield from self._check_queues()
        yield from self._check_indexes()
        yield from self._check_channels()

    # -- sessions ----------------------------------------------------------------------------------------------------

    def _check_session(self, keys: SessionKeys) -> Iterator[Repair]:
        for _ in range(_MAX_LOOKS):
            found = self._diagnose(keys)
            if not found:
                return
            whole = next((one for one in found if not one.changes), None)
            if whole is not None:
                incarnation = self._incarnation_of(keys)
                if self._diagnose(keys) == found:  # else another process changed the session since
                    yield from self._move(keys, whole, incarnation)
                    return
                continue
            repairs = [self._replace(keys, one) for one in found]
            yield from (one for one in repairs if one is not None)
            if all(repairs):
                return

    def _diagnose(self, keys: SessionKeys) -> list[Damage]:
        """Return what is damaged in a session. A session that is gone has no damage."""
        try:
            fields = self._run(stored_values.read_fields(keys))
            if not fields:
                return []
            found = damage.check_fields(keys.id, fields)
            return found or self._check_messages(keys, fields) or self._check_parts(keys, fields)
        except StoreError as problem:
            if not stored_values.is_wrong_type(problem):
                raise
            return [Damage("session", "a key has another type than a session has")]

    def _check_messages(self, keys: SessionKeys, fields: Mapping[bytes, bytes]) -> list[Damage]:
        scan, first = damage.MessageScan(fields), 0
        while elements := self._run(stored_values.read_elements(keys, first, _PAGE)):
            scan.add(elements)
            first += len(elements)
        found = scan.findings()
        is_same = not found or self._run(forgetting.read_field(keys, "counters")) == fields[b"counters"]
        return found if is_same else []  # a writer came between the fields and the messages

    def _check_parts(self, keys: SessionKeys, fields: Mapping[bytes, bytes]) -> list[Damage]:
        if b"has_parts" not in fields:
            return []
        try:
            incarnation = fields[b"incarnation"].decode()
            for part in part_export.stored_parts(self._context.executor, keys, incarnation):
                found = self._check_part(keys, part)
                if found:
                    return found
            is_gone = self._run(stored_parts.read_part_fields(keys, ["totals"])) == [None]
        except SessionDamaged as problem:
            return [Damage("parts", problem.detail)]
        except (SessionNotFound, SessionReplaced):
            return []
        return [Damage("parts", "the key of the parts is gone")] if is_gone else []

    def _check_part(self, keys: SessionKeys, part: StoredPart) -> list[Damage]:
        """Return what is damaged in a part. A message that is missing was cleared since."""
        first, size = part.record.first_seq, stored_parts.page_size(part.record)
        while first <= part.record.last_seq:
            seqs = range(first, min(first + size, part.record.last_seq + 1))
            names = [f"message.{part.record.number} {seq}" for seq in seqs]
            values = self._run(stored_parts.read_part_fields(keys, names))
            wrong = [
                (name, value)
                for name, value in zip(names, values, strict=True)
                if value is not None and not damage.is_message(value, has_time=True)
            ]
            if wrong:
                changes = [
                    (f".{name}".encode(), value, damage.repaired(value, None, has_time=True)) for name, value in wrong
                ]
                return [
                    Damage(
                        f"element {some[0][0][1:].decode()} of part {part.name!r}",
                        "it cannot be read",
                        tuple(some),
                        True,
                    )
                    for some in stored_values.in_slices(changes)
                ]
            first = seqs[-1] + 1
        return []

    def _incarnation_of(self, keys: SessionKeys) -> str | bytes:
        return run_or_default(self._context.executor, forgetting.read_field(keys, "incarnation"), None) or NO_SESSION

    def _move(self, keys: SessionKeys, found: Damage, incarnation: str | bytes) -> Iterator[Repair]:
        """Move a session as a whole, unless it is another one by now."""
        aside = self._aside(keys)
        if not self._dry_run:
            if not self._run(stored_values.set_aside(keys, incarnation, aside, quarantine.QUARANTINE_MS)):
                return
            self._enter([aside.session, aside.messages, aside.ledger, aside.parts, aside.part_names])
            self._context.indexer.repair_all([keys.id], may_be_new=False)
        key = aside.messages if found.place == "list" else aside.session
        yield Repair("session", keys.id, f"{found.place}: {found.problem}", key, not self._dry_run)

    def _replace(self, keys: SessionKeys, found: Damage) -> Repair | None:
        """Replace damaged values. None when they changed since they were read."""
        aside = self._aside(keys)
        if not self._dry_run:
            call = stored_values.replace_values(
                keys, found.changes, aside=aside.values, keep_ms=quarantine.QUARANTINE_MS, in_parts=found.is_in_parts
            )
            if not self._run(call):
                return None
            user = self._run(forgetting.read_field(keys, "user"))
            if user:  # so that `forget` finds it
                self._run(quarantine.keep(aside, {b"user": user}))
            self._enter([aside.values])
        kind = "message" if found.place.startswith("element") else "value"
        return Repair(kind, keys.id, f"{found.place}: {found.problem}", aside.values, not self._dry_run)

    def _check_lists(self) -> Iterator[Repair]:
        """Move lists of messages whose session is gone. Such a list has no life of its own."""
        for key in unlisted.scan(self._context, every_messages(self._namespace)):
            keys = listed_session_of(self._namespace, key)
            if keys is None or self._run(index_entries.exists(keys)):
                continue
            if self._run(stored_values.read_elements(keys, 0, 1)):  # else it expired with its session
                yield from self._move(keys, Damage("list", "it has no session"), NO_SESSION)

    # -- queues, indexes and channels ----------------------------------------------------------------------------------

    def _check_queues(self) -> Iterator[Repair]:
        for agent in self._context.run_queues.agents():
            queue = self._context.run_queues.queue_of(agent)
            for name in ("queue", "check_at", "ready", "running"):
                yield from self._check_members(f"queue of {agent}", name, getattr(queue, name), queue, is_work)

    def _check_indexes(self) -> Iterator[Repair]:
        for key in unlisted.scan(self._context, index_entries.all_indexes(self._namespace)):
            index = index_entries.entry_keys_of(self._namespace, key.decode(errors="replace"))
            if index is not None:
                for name in index._fields[2:]:
                    yield from self._check_members(
                        f"index {index.id.strip()}", name, getattr(index, name), index, _is_id
                    )

    def _check_members(
        self, title: str, name: str, zset: str, keys: AgentKeys | EntryKeys, is_valid: Callable[[bytes], bool]
    ) -> Iterator[Repair]:
        try:
            yield from self._move_members(title, name, zset, keys, is_valid)
        except StoreError as problem:
            yield from self._move_key(f"{title}, {name}", zset, keys, problem)

    def _move_key(
        self, title: str, key: str, keys: AgentKeys | EntryKeys | ChannelKeys, problem: StoreError
    ) -> Iterator[Repair]:
        """Move a key of another type than the library gives it."""
        if not stored_values.is_wrong_type(problem):
            raise problem
        aside = self._aside(keys)
        self._at_ms += 1  # the next one of the same index has a key of its own
        if not self._dry_run:
            for call in quarantine.move(key, aside):
                self._run(call)
            self._enter([aside.key])
        yield Repair("key", title, f"{key!r} has another type than its name says", aside.key, not self._dry_run)

    def _move_members(
        self, title: str, name: str, zset: str, keys: AgentKeys | EntryKeys, is_valid: Callable[[bytes], bool]
    ) -> Iterator[Repair]:
        """Move the members of a zset that name no session."""
        first = 0
        while members := self._run(forgetting.list_members(zset, keys, first, 10 * _PAGE)):
            wrong = [one for one in members if not is_valid(one)]
            first += len(members) - (0 if self._dry_run else len(wrong))
            aside = self._aside(keys)
            if wrong and not self._dry_run:
                self._run(quarantine.keep(aside, {name.encode() + b" " + one: b"" for one in wrong}))
                self._enter([aside.values])
                self._run(forgetting.remove_members(zset, keys, wrong))
            for one in wrong:
                yield Repair("member", title, f"{name}: {one[:80]!r} names no session", aside.values, not self._dry_run)

    def _check_channels(self) -> Iterator[Repair]:
        for key in unlisted.scan(self._context, every_channel(self._namespace)):
            channel = channel_of(self._namespace, key)
            if channel is None:
                continue
            try:
                stored = self._run(conversations.stored_id(channel))
            except StoreError as problem:
                yield from self._move_key(f"channel {channel.id}", channel.channel, channel, problem)
                continue
            if stored is None or _is_id(stored):
                continue
            aside = self._aside(channel)
            if not self._dry_run:
                self._run(quarantine.keep(aside, {b"channel": stored}))
                self._enter([aside.values])
                self._run(conversations.remove(channel, stored))
            yield Repair("channel", channel.id, f"{stored[:80]!r} names no session", aside.values, not self._dry_run)

    # -- calls -------------------------------------------------------------------------------------------------------

    def _run(self, call: Call[T]) -> T:
        return self._context.executor.run(call)

    def _aside(self, keys: SessionKeys | AgentKeys | EntryKeys | ChannelKeys) -> QuarantineKeys:
        return quarantine_keys(self._namespace, keys, self._at_ms)

    def _enter(self, keys: Sequence[str]) -> None:
        now_ms = self._run(index_entries.server_time(self._namespace)) // 1000
        for call in quarantine.enter(quarantine_index(self._namespace), keys, now_ms):
            self._run(call)


def _is_id(member: bytes) -> bool:
    try:
        check_id(member.decode())
    except ValueError:
        return False
    return True
