"""Follows sessions: one subscription a process tells all who watch in it; what was missed is read."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from .._core import messages, watching
from .._core.calls import Call
from .._core.forks import in_child
from .._core.keys import SessionKeys
from .._core.leases import ASK, Told
from .._core.messages import Reached
from .._core.watching import CHUNK, Progress
from ..errors import SessionNotFound, SessionRegressed, SessionsError, StoreUnavailable
from ..models.events import SessionEvent
from . import background, io
from .calls import Calls
from .wakes import DEAF, Wakes

if TYPE_CHECKING:
    from .transcript import AsyncTranscript

RENEWED = 10.0  # seconds between two times that a process says what it watches
_KNOWN_MS = 35_000  # for how long a server believes it
_MOST = 256  # that wait for a watcher who is slow; then it reads the messages itself
_GONE = Told("gone")


class Said(NamedTuple):
    """What a watcher of several sessions hears, and of which."""

    id: str
    told: Told


class Watched:
    """One session that is watched in this process, and who watches it."""

    def __init__(self, keys: SessionKeys) -> None:
        self.keys = keys
        self.nonce = f"~{secrets.token_hex(8)}"
        self.watchers: list[background.Mailbox[Said]] = []

    def put(self, told: Told) -> None:
        """Tells them all. A delta that finds no room is lost, as it may be; anything else will be read."""
        for mailbox in list(self.watchers):
            if len(mailbox) < _MOST:
                mailbox.put(Said(self.keys.id, told))
            elif told.word != "delta":
                mailbox.clear()
                mailbox.put(Said("", ASK))  # for all that it watches


class Watches:
    """What is watched in this process: each session is asked for once, however many watch it."""

    def __init__(self, calls: Calls, wakes: Wakes) -> None:
        self._calls = calls
        self._wakes = wakes
        self._start()
        in_child(self._start)

    def _start(self) -> None:
        self._watched: dict[str, Watched] = {}
        self._is_renewing = False
        self._changing = io.Lock()

    async def join(self, keys: SessionKeys, mailbox: background.Mailbox[Said]) -> None:
        """From now on the mailbox gets what is told of a session."""
        async with self._changing:
            watched = self._watched.get(keys.id)
            if watched is None:
                watched = self._watched[keys.id] = Watched(keys)
                self._wakes.attach(watched.nonce, watched)
            watched.watchers.append(mailbox)
            if not self._is_renewing:
                self._is_renewing = True
                background.later(RENEWED, self._renew)

    async def leave(self, keys: SessionKeys, mailbox: background.Mailbox[Said]) -> None:
        """Ends what `join` began; the server is told, in the background."""
        async with self._changing:
            watched = self._watched.get(keys.id)
            if watched is not None and mailbox in watched.watchers:
                watched.watchers.remove(mailbox)
                if not watched.watchers:
                    del self._watched[keys.id]
                    self._wakes.forget(watched.nonce)
                    background.spawn(self._unregister, watched)

    async def _unregister(self, watched: Watched) -> None:
        with suppress(SessionsError):
            await self._calls.run(self._expect(watched, "", 0))

    def _expect(self, watched: Watched, life: str, ms: int = _KNOWN_MS) -> Call[Reached]:
        wakes = self._wakes
        return messages.expect(watched.keys, life, watched.nonce, ms, wakes.channel, wakes.counted)

    async def _renew(self) -> None:
        """Says again what is watched, all in one round trip; who watches hears how far it has come, or that it is gone."""
        self._is_renewing = bool(self._watched)
        if not self._is_renewing:
            return
        everything = list(self._watched.values())
        with suppress(SessionsError):
            found = await self._calls.try_many([self._expect(watched, "") for watched in everything])
            for watched, answer in zip(everything, found, strict=True):
                if isinstance(answer, SessionNotFound):
                    watched.put(_GONE)
                elif isinstance(answer, Reached):
                    watched.put(Told("reached", data=f"{answer.life} {answer.last}".encode()))
        background.later(RENEWED, self._renew)

    async def begin_one_of_many(self, session: AsyncTranscript, progress: Progress) -> AsyncIterator[SessionEvent]:
        """Like `begin`, but what befalls one session is an event of it, for the sake of the others."""
        try:
            async for event in self.begin(session, progress):
                yield event
        except SessionNotFound:
            yield progress.deleted()
        except SessionRegressed as problem:
            yield progress.regressed(problem.known)

    async def begin(self, session: AsyncTranscript, progress: Progress) -> AsyncIterator[SessionEvent]:
        """Registers, then reads what was missed. While the store cannot be reached it waits, as long as a call is retried."""
        due = time.monotonic() + self._calls.retry_for
        while not await self._wakes.can_hear(self._calls.where):
            if time.monotonic() >= due:
                waited = self._calls.retry_for
                raise StoreUnavailable(where=self._calls.where, waited=waited, detail="nothing can be heard")
            await io.sleep(DEAF)
        keys = session._keys
        try:
            await self._calls.run(self._expect(self._watched[keys.id], progress.life))
            while True:
                standing = await self._calls.run(watching.standing(keys, progress.life))
                progress.check(standing)
                upper = min(max(standing.dropped, progress.seq + CHUNK), standing.last)
                found = []
                if standing.last > progress.seq:
                    found = await session.history(after_seq=progress.seq, before_seq=upper + 1)
                for event in progress.caught_up(standing, found, upper):
                    yield event
                if standing.last <= upper:
                    return
        except SessionNotFound:
            if not progress.is_begun:
                raise
            yield progress.deleted()

    async def follow(
        self,
        sessions: dict[str, tuple[AsyncTranscript, Progress]],
        mailbox: background.Mailbox[Said],
        seconds: float,
        *,
        is_alone: bool = False,
    ) -> AsyncIterator[SessionEvent]:
        """The next events of sessions that were begun; none when nothing comes for so long."""
        said = await mailbox.get(seconds)
        if said is None:
            return
        for id in [said.id] if said.id else list(sessions):
            if id in sessions and not sessions[id][1].is_over:
                session, progress = sessions[id]
                found = progress.told(said.told)
                if found is None:
                    begin = self.begin if is_alone else self.begin_one_of_many
                    async for event in begin(session, progress):
                        yield event
                else:
                    for event in found:
                        yield event


async def watch(
    watches: Watches, session: AsyncTranscript, progress: Progress, seconds: float | None
) -> AsyncIterator[SessionEvent]:
    """What happens in one session, until it has ended or nothing comes for so long."""
    mailbox: background.Mailbox[Said] = background.Mailbox()
    await watches.join(session._keys, mailbox)
    sessions = {session.id: (session, progress)}
    try:
        async for event in watches.begin(session, progress):
            yield event
        heard = time.monotonic()
        while not progress.is_over:
            left = RENEWED if seconds is None else heard + seconds - time.monotonic()
            if left <= 0:
                return
            async for event in watches.follow(sessions, mailbox, left, is_alone=True):
                yield event
                heard = time.monotonic()
    finally:
        await watches.leave(session._keys, mailbox)
