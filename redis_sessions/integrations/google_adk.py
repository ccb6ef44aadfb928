"""Sessions of Google's Agent Development Kit (google-adk): `RedisSessionsSessionService`."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from .. import (
    AsyncSessionCache,
    InvalidInput,
    Message,
    RevisionConflict,
    SessionCache,
    SessionNotFound,
    SessionReplaced,
    Snapshot,
    compose_id,
)
from .._durations import Duration
from ._shared import Caches, needs

with needs("google-adk", "google-adk"):
    from google.adk.errors._stale_session_error import StaleSessionError
    from google.adk.errors.already_exists_error import AlreadyExistsError
    from google.adk.errors.session_not_found_error import SessionNotFoundError
    from google.adk.events.event import Event
    from google.adk.platform import time as platform_time
    from google.adk.platform import uuid as platform_uuid
    from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig, ListSessionsResponse
    from google.adk.sessions.session import Session
    from google.adk.sessions.state import State

_log = logging.getLogger("redis_sessions")
_MAX_PART = 80
"""The characters that one name takes in an ID at most. A longer name is replaced by its hash."""
_LIST_PAGE = 1000
_EVENTS = TypeAdapter(list[Event])
_EMPTY_ACTIONS = {"state_delta", "artifact_delta", "requested_auth_configs", "requested_tool_confirmations"}
"""Actions of an event that are not stored when they are empty, because that is their default."""
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
            **options: further options of `SessionCache.from_url`.

        Raises:
            InvalidInput: not exactly one of url, cache and client is given, or an option is not valid. It is a ValueError.
        """
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
        name = (session_id or "").strip() or platform_uuid.new_uuid()
        names, now = [app_name, user_id, name], platform_time.get_time()
        own, shared = _split(state or {}, app_name, user_id)
        handle = self._cache.ensure(
            _session_id(names), user_id=_part(user_id), tags=_tags(app_name, user_id),
            metadata={"adk": {"names": names, "created": now}},
        )  # fmt: skip
        creation = handle.append(state=own, shared=shared, expected_rev=0)
        scopes = [_app_scope(app_name), _user_scope(app_name, user_id)]
        try:
            if shared:
                result, values = await creation, await self._read_scopes(scopes)
            else:
                result, values = await asyncio.gather(creation, self._read_scopes(scopes))
        except RevisionConflict:
            raise AlreadyExistsError(f"Session with id {name} already exists.") from None
        session = Session(
            id=name, app_name=app_name, user_id=user_id, last_update_time=now,
            state=_merged(own, names, values),
        )  # fmt: skip
        session._storage_update_marker = f"{handle.incarnation} {result.rev}"
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
        names = (app_name, user_id, session_id.strip() if session_id else session_id)
        limit = config.num_recent_events if config else None
        (found,) = await self._cache.load(
            [_session_id(names)], limit=1 if limit == 0 else limit, shared=[_app_scope(app_name), _user_scope(*names[:2])]
        )  # fmt: skip
        if found is None:
            return None
        events = [] if limit == 0 else _events(found)
        if config and config.after_timestamp is not None:
            events = [event for event in events if event.timestamp >= config.after_timestamp]
        return _session(found, names, events)

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """Return all sessions of an application, or of one of its users, without events, by the time of their last event.

        Cost: three round trips for each 1,000 sessions, two more after recent writes of this process.
        """
        tag = _tags(app_name, user_id)[-1]
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
        scopes = [f"{_app_prefix(app_name)}/{user}" for user in users]
        found = await self._cache.load(ids, limit=1, shared=[_app_scope(app_name), *scopes])
        return [_session(one, one.info.metadata["adk"]["names"], []) for one in found if one is not None]

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete a session with its events. One that does not exist is deleted already."""
        await self._cache.delete(_session_id((app_name, user_id, session_id.strip() if session_id else session_id)))

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Return the state of a user in an application, by names without `user:`. One round trip."""
        return _by_key(await self._cache.shared(_user_scope(app_name, user_id)).all())

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
            await self._store(session, event)
            session.last_update_time = event.timestamp
            return self._commit_event_to_session(session, event)

    async def _store(self, session: Session, event: Event) -> None:
        incarnation, rev = (session._storage_update_marker or await self._find_marker(session)).split()
        handle = self._cache.session(_session_id_of(session), incarnation=incarnation)
        own, shared = _split(event.actions.state_delta if event.actions else {}, session.app_name, session.user_id)
        payload = _payload(event)
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
        (found,) = await self._cache.load([_session_id_of(session)], limit=1)
        if found is None:
            raise SessionNotFoundError(f"Session {session.id} not found.")
        newest = [event.id for event in _events(found)]
        known = [event.id for event in session.events[-1:]]
        if _last_update(found, _events(found)) > session.last_update_time and newest != known:
            raise StaleSessionError(_STALE)
        return _marker(found)

    @asynccontextmanager
    async def _turn(self, session: Session) -> AsyncIterator[None]:
        """Let the appends of one event loop to one session come one after the other, as parallel agents share an object."""
        key = (asyncio.get_running_loop(), _session_id_of(session))
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


# -- names ---------------------------------------------------------------------------------------------------------------


def _part(name: str) -> str:
    """Return a name of any characters as a part of an ID. Other names give other parts."""
    try:
        part = compose_id(name)
    except InvalidInput:
        if not isinstance(name, str):
            raise
        part = ""
    if 0 < len(part) <= _MAX_PART:
        return part
    return "~" + sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _session_id(names: Sequence[str]) -> str:
    return "/".join(map(_part, names))


def _session_id_of(session: Session) -> str:
    return _session_id((session.app_name, session.user_id, session.id))


def _tags(app_name: str, user_id: str | None) -> list[str]:
    """Return the tags of a session: its application, and its user there."""
    app = _part(app_name)
    return [app] if user_id is None else [app, f"{app}/{_part(user_id)}"]


def _app_prefix(app_name: str) -> str:
    return f"adk/{_part(app_name)}"


def _app_scope(app_name: str) -> str:
    return f"{_app_prefix(app_name)}/:app"  # no part begins with ':', so it is the scope of no user


def _user_scope(app_name: str, user_id: str) -> str:
    return f"{_app_prefix(app_name)}/{_part(user_id)}"


def _name(key: str) -> str:
    """Return a key of the state as the name of a value. Keys of other characters than names have are escaped."""
    if key and key.isprintable() and key[0] != "=":
        return key
    return "=" + urlsafe_b64encode(key.encode("utf-8", "surrogatepass")).decode()


def _by_key(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by the keys that they have in the state."""
    return {
        urlsafe_b64decode(name[1:]).decode("utf-8", "surrogatepass") if name[0] == "=" else name: value
        for name, value in values.items()
    }


def _split(delta: Mapping[str, Any], app_name: str, user_id: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the values for the session's own state, and those for the scopes of the application and the user, as JSON."""
    own: dict[str, Any] = {}
    app: dict[str, Any] = {}
    user: dict[str, Any] = {}
    for key, value in _jsonable(delta).items():
        if key.startswith(State.APP_PREFIX):
            app[_name(key.removeprefix(State.APP_PREFIX))] = value
        elif key.startswith(State.USER_PREFIX):
            user[_name(key.removeprefix(State.USER_PREFIX))] = value
        elif not key.startswith(State.TEMP_PREFIX):
            own[_name(key)] = value
    scopes = {_app_scope(app_name): app, _user_scope(app_name, user_id): user}
    return own, {scope: values for scope, values in scopes.items() if values}


def _jsonable(delta: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON. A value that has no JSON form is replaced by its text, with a warning."""
    delta = {key: value for key, value in delta.items() if not key.startswith(State.TEMP_PREFIX)}
    try:
        found = to_jsonable_python(delta, inf_nan_mode="null")
    except Exception:  # whatever the classes of the values raise
        _log.warning("some values of the state have no JSON form, and are stored as text", exc_info=True)
        found = to_jsonable_python(delta, inf_nan_mode="null", serialize_unknown=True)
    return dict(found)


# -- sessions ------------------------------------------------------------------------------------------------------------


def _events(found: Snapshot) -> list[Event]:
    """Return the events among the messages of a session. Others may have sent it messages that are none."""
    payloads = [message.payload for message in found.messages if "invocation_id" in message.payload]
    return _EVENTS.validate_json(json.dumps(payloads))  # twice as fast as from dicts


def _payload(event: Event) -> dict[str, Any]:
    """Return an event as JSON, without what is empty by default."""
    payload: dict[str, Any] = event.model_dump(mode="json", exclude_none=True)
    actions = payload.pop("actions", {})
    actions = {name: value for name, value in actions.items() if value or name not in _EMPTY_ACTIONS}
    if payload.get("node_info") == {"path": ""}:
        del payload["node_info"]
    return {**payload, "actions": actions} if actions else payload


def _last_update(found: Snapshot, events: Sequence[Event]) -> float:
    return events[-1].timestamp if events else float(found.info.metadata["adk"]["created"])


def _marker(found: Snapshot) -> str:
    return f"{found.info.incarnation} {found.info.rev}"


def _merged(own: Mapping[str, Any], names: Sequence[str], shared: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the state of a session with the values of its scopes."""
    state = _by_key(own)
    for scope, prefix in ((_app_scope(names[0]), State.APP_PREFIX), (_user_scope(*names[:2]), State.USER_PREFIX)):
        state |= {prefix + key: value for key, value in _by_key(shared.get(scope, {})).items()}
    return state


def _session(found: Snapshot, names: Sequence[str], events: list[Event]) -> Session:
    """Return a session with the values of its scopes among its state."""
    app_name, user_id, name = names
    newest = _events(found._replace(messages=found.messages[-1:]))
    session = Session(
        id=name, app_name=app_name, user_id=user_id, state=_merged(found.state, names, found.shared), events=events,
        last_update_time=_last_update(found, newest),
    )  # fmt: skip
    session._storage_update_marker = _marker(found)
    return session
