"""Follow sessions: one subscription of the process serves all watchers in it, and what a watcher missed is read."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any, NamedTuple

from ..._core.commands import deltas, messages, watch_progress
from ..._core.commands.messages import SessionPosition
from ..._core.commands.watch_pace import WatchPace
from ..._core.commands.watch_progress import CHUNK_MESSAGES, WatchProgress
from ..._core.protocol.call import Call
from ..._core.protocol.keys import SessionKeys
from ..._core.protocol.notifications import ASK, Notification
from ..._fork import run_in_child
from ..._log_events import WATCH_LEFT_OUT, error_facts
from ...errors import (
    CodecMissing,
    DecryptionError,
    InvalidState,
    SessionDamaged,
    SessionNotFound,
    SessionRegressed,
    SessionsError,
)
from ...models.events import SessionEvent
from ...models.messages import Message
from ..transport import primitives, tasks
from ..transport.executor import Executor
from ..transport.notifications import NotificationHub
from .history import read_history
from .registration import try_to_register
from .watch import AsyncWatch

RENEW_SECONDS = 10.0
"""The pause between two renewals of a process's subscriptions."""
_SUBSCRIPTION_MS = 35_000
"""The time for which a server keeps a subscription that is not renewed."""
_POLL_SECONDS = 1.0
"""The pause between two readings of a session whose subscription the server refuses."""
_MAX_QUEUED = 256
"""Notifications that wait for a slow watcher. With more, the watcher reads the messages itself."""
_GONE = Notification("gone")
_ANNOUNCEMENTS = frozenset(["new", "status", "gone"])
"""The words of a script about the session. Each is believed only if the session says the same."""


class WatchNotice(NamedTuple):
    """A notification for a watcher of several sessions."""

    id: str
    """The session. '' for all sessions of the watcher."""
    notification: Notification


class WatchedSession:
    """One session that is watched in this process, and the queues of its watchers."""

    def __init__(self, keys: SessionKeys) -> None:
        self.keys = keys
        self.nonce = secrets.token_hex(8)
        self.queues: list[tasks.Queue[WatchNotice]] = []

    def put(self, item: Notification) -> None:
        """Hand a notification to every watcher. A slow watcher drops what waits, and reads the session instead."""
        for queue in list(self.queues):
            if len(queue) < _MAX_QUEUED:
                queue.put(WatchNotice(self.keys.id, item))
            else:
                queue.clear()
                queue.put(WatchNotice("", ASK))


class WatchTarget(NamedTuple):
    """A session, and how far its watcher has seen it."""

    keys: SessionKeys
    progress: WatchProgress
    is_alone: bool = True
    """False if other sessions are watched with it. They go on whatever this one raises."""


class Watcher:
    """The watched sessions of this process. Each session is subscribed to once, however many watch it."""

    def __init__(self, executor: Executor, hub: NotificationHub) -> None:
        self._executor = executor
        self._hub = hub
        self._reset()
        run_in_child(self._reset)

    def _reset(self) -> None:
        self._watched: dict[str, WatchedSession] = {}
        self._unheard: set[str] = set()  # sessions of which this process hears nothing
        self._is_renewing = False
        self._changing = primitives.Lock()

    async def join(self, keys: SessionKeys, queue: tasks.Queue[WatchNotice]) -> None:
        """Hand the notifications of a session to a queue, until `leave`."""
        async with self._changing:
            watched = self._watched.get(keys.id)
            if watched is None:
                watched = self._watched[keys.id] = WatchedSession(keys)
                self._hub.attach(watched.nonce, watched)
            watched.queues.append(queue)
            if not self._is_renewing:
                self._is_renewing = True
                tasks.later(RENEW_SECONDS, self._renew)

    async def leave(self, keys: SessionKeys, queue: tasks.Queue[WatchNotice]) -> None:
        """Stop handing notifications to a queue. The server hears of it in the background."""
        async with self._changing:
            watched = self._watched.get(keys.id)
            if watched is not None and queue in watched.queues:
                watched.queues.remove(queue)
                if not watched.queues:
                    del self._watched[keys.id]
                    self._unheard.discard(keys.id)
                    self._hub.unregister(watched.nonce)
                    tasks.spawn(self._unsubscribe, watched)

    async def _unsubscribe(self, watched: WatchedSession) -> None:
        with suppress(SessionsError):
            await self._executor.run(self._subscribe_call(watched, "", 0))

    def _subscribe_call(
        self, watched: WatchedSession, incarnation: str, wait_ms: int = _SUBSCRIPTION_MS
    ) -> Call[SessionPosition]:
        hub = self._hub
        return messages.subscribe(
            watched.keys,
            incarnation,
            watched.nonce,
            wait_ms,
            hub.channel,
            hub.counts_receivers,
            "watch",
            self._executor.bounds.readers,
        )

    async def _renew(self) -> None:
        """Renew all subscriptions in one round trip. Each watcher hears the session's position, or that it is gone."""
        self._is_renewing = bool(self._watched)
        if not self._is_renewing:
            return
        watched = list(self._watched.values())
        with suppress(SessionsError):
            results = await self._executor.try_many([self._subscribe_call(one, "") for one in watched])
            for one, result in zip(watched, results, strict=True):
                if isinstance(result, SessionNotFound):
                    one.put(_GONE)
                elif isinstance(result, SessionPosition):
                    one.put(Notification("position", data=f"{result.incarnation} {result.last_seq}".encode()))
        tasks.later(RENEW_SECONDS, self._renew)

    async def begin_one_of_many(self, target: WatchTarget, heard: Notification = ASK) -> AsyncIterator[SessionEvent]:
        """Begin as `begin` does, and yield an event where that raises, so that the other sessions go on."""
        try:
            async for event in self.begin(target, heard):
                yield event
        except SessionNotFound:
            yield target.progress.deleted()
        except SessionRegressed as problem:
            yield target.progress.regressed(problem.known)
        except (SessionDamaged, InvalidState) as problem:
            _log_left_out(target, "session %s is not watched any more: %s", problem)
            target.progress.is_over = True

    async def begin(self, target: WatchTarget, heard: Notification = ASK) -> AsyncIterator[SessionEvent]:
        """Yield what the session has behind the progress. First subscribe, unless an announcement was heard just now.

        Where the server refuses the subscription, `follow` polls. While the server does not answer, wait for `retry_for` seconds.
        """
        keys, progress, _ = target
        if heard.word in _ANNOUNCEMENTS:
            announced = await self._read_announced(target)
            if announced is not None:
                for event in announced:
                    yield event
                return
        call = self._subscribe_call(self._watched[keys.id], progress.incarnation)
        try:
            self._unheard.add(keys.id)
            progress.poll_at = time.monotonic() + _POLL_SECONDS
            if await self._hub.try_subscribe() and await try_to_register(self._executor, call) is not None:
                self._unheard.discard(keys.id)
            async for event in self._catch_up(target):
                yield event
        except SessionNotFound:
            if not progress.is_begun:
                raise
            yield progress.deleted()

    async def _catch_up(self, target: WatchTarget) -> AsyncIterator[SessionEvent]:
        """Yield what the session has behind the progress: status changes and messages in chunks, then the deltas."""
        keys, progress, _ = target
        last_seq, starts_now = progress.seq, progress.starts_now
        while True:
            calls: list[Call[Any]] = [watch_progress.snapshot(keys, progress.incarnation)]
            if last_seq <= progress.seq + CHUNK_MESSAGES:  # else more messages come first
                calls.append(deltas.read_deltas(keys, progress.incarnation, progress.answer, progress.number))
            snapshot, *kept = await self._executor.get_many(calls)
            last_seq = snapshot.last_seq
            progress.check(snapshot)
            if starts_now and kept:
                progress.skip_deltas(kept[0])
            upper = min(max(snapshot.dropped, progress.seq + CHUNK_MESSAGES), snapshot.last_seq)
            found = []
            if snapshot.last_seq > progress.seq:
                found = await self._read_messages(target, progress.seq, upper)
            for event in progress.catch_up(snapshot, found, upper):
                yield event
            if last_seq <= upper and kept:
                for event in progress.deltas(() if progress.is_over else kept[0], keys):
                    yield event
                return

    async def _read_messages(self, target: WatchTarget, after: int, last: int) -> list[Message]:
        """Return the messages up to a seq. Where many sessions are watched, those that cannot be read are left out."""
        keys, progress, is_alone = target
        place = (self._executor, keys, progress.incarnation)
        try:
            return await read_history(*place, after=after, below=last + 1, skip_damaged=not is_alone)
        except (CodecMissing, DecryptionError) as problem:
            if is_alone:
                raise
            _log_left_out(target, "a watch of many sessions leaves out messages of session %s: %s", problem)
        found: list[Message] = []
        for seq in range(after + 1, last + 1):
            with suppress(CodecMissing, DecryptionError):
                found += await read_history(*place, after=seq - 1, below=seq + 1, skip_damaged=True)
        return found

    async def _read_announced(self, target: WatchTarget) -> list[SessionEvent] | None:
        """Return the next events as the session has them, or None if they need more than one page. One round trip."""
        keys, progress, is_alone = target
        below = progress.seq + CHUNK_MESSAGES + 1
        page_call = messages.read(keys, progress.incarnation, limit=CHUNK_MESSAGES, after=progress.seq, below=below)
        calls: list[Call[Any]] = [watch_progress.snapshot(keys, progress.incarnation), page_call]
        try:
            snapshot, page = await self._executor.get_many(calls)
            progress.check(snapshot)
        except SessionNotFound:
            return [progress.deleted()]
        except (CodecMissing, DecryptionError, InvalidState):
            if is_alone:
                raise
            return None
        if page.below or snapshot.last_seq >= below:
            return None
        found = [one for one in page.messages if one.seq <= snapshot.last_seq]
        return list(progress.catch_up(snapshot, found, snapshot.last_seq))

    async def follow(
        self,
        targets: dict[str, WatchTarget],
        queue: tasks.Queue[WatchNotice],
        seconds: float,
    ) -> AsyncIterator[SessionEvent]:
        """Yield the next events of sessions that were begun. None when nothing happens for `seconds`.

        Sessions of which this process hears nothing are read at intervals.
        """
        polled = [one for id, one in targets.items() if id in self._unheard] if self._unheard else []
        pause = min((one.progress.poll_at for one in polled), default=math.inf) - time.monotonic()
        notice = await queue.get(max(min(seconds, pause), 0))
        heard: dict[str, Notification] = {}
        if notice is not None:
            heard = dict.fromkeys([notice.id] if notice.id else targets, notice.notification)
        now = time.monotonic()
        heard |= {one.keys.id: ASK for one in polled if one.progress.poll_at <= now}
        for id, notification in heard.items():
            if id in targets and not targets[id].progress.is_over:
                found = targets[id].progress.apply(notification, targets[id].keys)
                if found is None:
                    begin = self.begin if targets[id].is_alone else self.begin_one_of_many
                    async for event in begin(targets[id], notification):
                        yield event
                    found = targets[id].progress.missed_delta(notification, targets[id].keys)
                for event in found:
                    yield event


def _log_left_out(target: WatchTarget, text: str, problem: SessionsError) -> None:
    WATCH_LEFT_OUT.log(text, target.keys.id, problem, session_id=target.keys.id, **error_facts(problem))


def watch(watcher: Watcher, keys: SessionKeys, progress: WatchProgress, pace: WatchPace) -> AsyncWatch:
    """Return a watch of one session, which yields events until it has ended, or its pace ends the watch."""
    return AsyncWatch(_watch(watcher, keys, progress, pace), lambda: progress.end_reason(pace))


async def _watch(
    watcher: Watcher, keys: SessionKeys, progress: WatchProgress, pace: WatchPace
) -> AsyncGenerator[SessionEvent, None]:
    queue: tasks.Queue[WatchNotice] = tasks.Queue()
    target = WatchTarget(keys, progress)
    await watcher.join(keys, queue)
    try:
        async for event in watcher.begin(target):
            if pace.is_stopped:
                return
            yield event
        pace.note_event()
        while not (progress.is_over or pace.is_over):
            async for event in watcher.follow({keys.id: target}, queue, pace.pause(RENEW_SECONDS)):
                if pace.is_stopped:
                    return
                yield event
                pace.note_event()
            if pace.takes_heartbeat():
                yield progress.event("heartbeat")
    finally:
        await watcher.leave(keys, queue)
