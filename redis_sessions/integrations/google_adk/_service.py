"""The session service of google-adk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from types import TracebackType
from typing import Any, Self

from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.platform import time as platform_time
from google.adk.platform import uuid as platform_uuid
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig, ListSessionsResponse
from google.adk.sessions.session import Session

from ... import (
    AsyncSessionCache,
    Message,
    RevisionConflict,
    SessionCache,
    SessionNotFound,
    SessionReplaced,
)
from ..._durations import Duration
from ...bounds import MAX_WIRE_BYTES
from .._repeats import settled
from .._shared import Caches, text_of
from ._names import (
    app_prefix,
    app_scope,
    by_key,
    id_of,
    names_of,
    part_of,
    session_id_of,
    split_state,
    tags_of,
    user_scope,
)
from ._sessions import event_payloads, events_of, last_update, marker_of, merged_state, payload_of, to_session

_LIST_PAGE = 1000
_MAX_STATE_BYTES = 16 * 1024 * 1024
_BOUNDS = {
    "state_bytes": _MAX_STATE_BYTES, "values": 20_000,
    "shared_bytes": _MAX_STATE_BYTES, "shared_values": 20_000, "scopes": 10_000_000,
}  # fmt: skip
"""The bounds of the state of sessions, applications and users, unless the user gives others. ADK has none."""
_STALE = "the session was changed since it was read: read it again with get_session before the next append_event"


class RedisSessionsSessionService(BaseSessionService):
    """A session service over redis_sessions: `Runner(session_service=RedisSessionsSessionService("redis://…"))`.

    Any number of event loops, threads and processes can use one service, or services of the same namespace. An event is stored
    once, also when its reply was lost and `append_event` is called again with it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        cache: SessionCache | AsyncSessionCache | None = None,
        client: Any = None,
        namespace: str | None = None,
        ttl: Duration | None = None,
        max_messages: int | None = None,
        **options: Any,
    ) -> None:
        """Make a service from exactly one of a URL, a cache and a redis-py client. Nothing is sent yet.

        Args:
            url: see `SessionCache.from_url`, such as redis://localhost or redis+cluster://host:7000.
            cache: a cache of either kind.
            client: a client of redis or redis.asyncio.
            namespace: the namespace of all keys. Default: that of the cache, else "sessions".
            ttl: idle life of a session. Default: no end. The state of applications and users has no end.
            max_messages: events that a session retains. Default: all.
            **options: further options of `SessionCache.from_url`. `max_message_bytes`, the largest event, is 64 MiB by default.

        Raises:
            InvalidInput: not exactly one of url, cache and client is given, or an option is not valid. It is a ValueError.
        """
        if cache is None:
            options = {"max_message_bytes": MAX_WIRE_BYTES, "bounds": _BOUNDS, **options}  # events may hold images
        self._caches = Caches(
            url=url, cache=cache, client=client, namespace=namespace, ttl=ttl, max_messages=max_messages, **options
        )  # fmt: skip
        self._turns: dict[tuple[Any, str], tuple[asyncio.Lock, int]] = {}

    @property
    def _cache(self) -> AsyncSessionCache:
        return self._caches.asynchronous

    async def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> Session:
        """Create a session with its state. Values of app: and user: go to the scopes of the application and the user.

        Raises AlreadyExistsError.

        Cost: three calls at once. With values of these scopes two round trips before two calls at once.
        """
        names = names_of(app_name, user_id, (session_id or "").strip() or platform_uuid.new_uuid())
        name, now = names[2], platform_time.get_time()
        own, shared = split_state(state or {}, app_name, user_id)
        handle = self._cache.ensure(
            id_of(names), user_id=part_of(user_id), tags=tags_of(app_name, user_id),
            metadata={"adk": {"names": names, "created": now}},
        )  # fmt: skip
        creation = handle.append(state=own, shared=shared, expected_rev=0)
        scopes = [app_scope(app_name), user_scope(app_name, user_id)]
        try:
            if shared:
                result, values = await creation, await self._read_scopes(scopes)
            else:
                result, values = await asyncio.gather(creation, self._read_scopes(scopes))
        except RevisionConflict:
            raise AlreadyExistsError(f"Session with id {name} already exists.") from None
        session = Session(
            id=name, app_name=app_name, user_id=user_id, last_update_time=now,
            state=merged_state(own, names, values),
        )  # fmt: skip
        session._storage_update_marker = f"{handle.met_incarnation} {result.rev}"
        return session

    async def _read_scopes(self, scopes: Sequence[str]) -> dict[str, dict[str, Any]]:
        values = await asyncio.gather(*[self._cache.shared(scope).all() for scope in scopes])
        return dict(zip(scopes, values, strict=True))

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """Return a session with its events and state, as of one moment, or None.

        Cost: one round trip for each 1,000 events or 1 MiB. In a cluster one to each node that holds a scope.
        """
        names = names_of(app_name, user_id, session_id)
        limit = config.num_recent_events if config else None
        (found,) = await self._cache.load(
            [id_of(names)], limit=1 if limit == 0 else limit, shared=[app_scope(app_name), user_scope(*names[:2])]
        )  # fmt: skip
        if found is None:
            return None
        events = [] if limit == 0 else events_of(found)
        if config and config.after_timestamp is not None:
            events = [event for event in events if event.timestamp >= config.after_timestamp]
        return to_session(found, names, events)

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """Return all sessions of an application, or of one of its users, without events, by the time of their last event.

        Cost: three round trips for each 1,000 sessions, two more after recent writes of this process.
        """
        tag = tags_of(app_name, user_id)[-1]
        sessions: list[Session] = []
        cursor = None
        while True:
            page = await self._cache.list(_LIST_PAGE, cursor, tags=[tag], order="created")
            sessions += await self._load([one.id for one in page.items], app_name, {one.user_id for one in page.items})
            cursor = page.cursor
            if cursor is None:
                break
        sessions.sort(key=lambda one: (one.last_update_time, one.user_id, one.id))
        return ListSessionsResponse(sessions=sessions)

    async def _load(self, ids: Sequence[str], app_name: str, users: set[str | None]) -> list[Session]:
        """Return sessions without events. `users` are the users as their sessions name them."""
        if not ids:
            return []
        scopes = [f"{app_prefix(app_name)}/{user}" for user in users]
        found = await self._cache.load(ids, limit=1, shared=[app_scope(app_name), *scopes])
        return [
            to_session(one, one.info.metadata["adk"]["names"], [])
            for one in found
            if one and "adk" in one.info.metadata
        ]

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete a session with its events. One that does not exist is deleted already."""
        await self._cache.delete(id_of(names_of(app_name, user_id, session_id)))

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Return the state of a user in an application, by names without `user:`. One round trip."""
        scope = user_scope(text_of(app_name, "app_name"), text_of(user_id, "user_id"))
        return by_key(await self._cache.shared(scope).all())

    async def append_event(self, session: Session, event: Event) -> Event:
        """Store an event with its changes of the state: all of it or nothing, and once for an event.

        A partial event is returned as it is. Values of temp: stay in the session object.

        Raises:
            StaleSessionError: the session was changed since the object was read.
            SessionNotFoundError: the session does not exist.
            OutcomeUnknown: the server did not answer. Call it again with the same event: the event is stored once.

        Cost: one round trip, two with values of app: or user:.
        """
        if event.partial:
            return event
        async with self._turn(session):
            if any(one.id == event.id and one == event for one in session.events):
                return event  # it is delivered again
            self._apply_temp_state(session, event)
            event = self._trim_temp_delta_state(event)
            return await settled(self._store_and_commit(session, event))

    async def _store_and_commit(self, session: Session, event: Event) -> Event:
        await self._store(session, event)
        session.last_update_time = event.timestamp
        return self._commit_event_to_session(session, event)

    async def _store(self, session: Session, event: Event) -> None:
        incarnation, rev = (session._storage_update_marker or await self._find_marker(session)).split()
        handle = self._cache.session(session_id_of(session), incarnation=incarnation)
        own, shared = split_state(event.actions.state_delta if event.actions else {}, session.app_name, session.user_id)
        payload = payload_of(event)
        message = Message("user" if event.author == "user" else "assistant", payload=payload)
        batch = sha256(json.dumps(payload, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:32]
        try:
            result = await handle.append(
                message, batch_id=f"adk-{batch}", expected_rev=int(rev), state=own or None, shared=shared
            )
        except (RevisionConflict, SessionReplaced):  # first, because SessionReplaced is a kind of SessionNotFound
            raise StaleSessionError(_STALE) from None
        except SessionNotFound:
            raise SessionNotFoundError(f"Session {session.id} not found.") from None
        session._storage_update_marker = f"{incarnation} {result.rev}"

    async def _find_marker(self, session: Session) -> str:
        """Return the marker of a session object that no service returned, if the object has the newest event."""
        (found,) = await self._cache.load([session_id_of(session)], limit=1)
        if found is None:
            raise SessionNotFoundError(f"Session {session.id} not found.")
        newest = [event["id"] for event in event_payloads(found)]
        known = [event.id for event in session.events[-1:]]
        if last_update(found) > session.last_update_time and newest != known:
            raise StaleSessionError(_STALE)
        return marker_of(found)

    @asynccontextmanager
    async def _turn(self, session: Session) -> AsyncIterator[None]:
        """Let the appends of one event loop to one session come one after the other, as parallel agents share an object."""
        key = (asyncio.get_running_loop(), session_id_of(session))
        lock, count = self._turns.get(key, (asyncio.Lock(), 0))
        self._turns[key] = lock, count + 1
        try:
            async with lock:
                yield
        finally:
            lock, count = self._turns.pop(key)
            if count > 1:
                self._turns[key] = lock, count - 1

    async def close(self) -> None:
        """Close the connections that the service made."""
        await self._caches.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
