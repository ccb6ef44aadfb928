"""The session manager: sessions, agents and messages of Strands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ... import InvalidInput, Message, Part, SessionExists, SessionNotFound, SessionsError
from ..._durations import Duration
from ...bounds import MAX_WIRE_BYTES
from ...models.messages import KIND_OF_ROLE
from .._shared import Caches, limit_of, needs, text_of
from ._names import digest, quoted, session_id_of

with needs("strands-agents", "strands"):
    from strands.session.repository_session_manager import RepositorySessionManager
    from strands.session.session_repository import SessionRepository
    from strands.types.exceptions import SessionException
    from strands.types.session import Session, SessionAgent, SessionMessage

if TYPE_CHECKING:
    from strands.multiagent import MultiAgentBase

_AGENTS, _MULTI_AGENTS = "agents", "multi_agents"


class RedisSessionsSessionManager(RepositorySessionManager, SessionRepository):
    """A session manager for `Agent(session_manager=…)`, and the repository that it uses."""

    def __init__(
        self,
        session_id: str,
        *,
        url: str | None = None,
        cache: Any = None,
        client: Any = None,
        namespace: str | None = None,
        ttl: Duration | None = None,
        **others: Any,
    ) -> None:
        """Open a session, and create it if it does not exist.

        Args:
            session_id: the ID, of any characters.
            url: the URL of a server, see `SessionCache.from_url`. Give exactly one of url, cache and client.
            cache: a SessionCache or an AsyncSessionCache.
            client: a client of redis or redis.asyncio.
            namespace: the prefix of all keys. Default: that of the cache, else "sessions".
            ttl: the life of a session after its last write. Default: no end.
            **others: refused. The base class takes options and ignores them.

        Raises:
            InvalidInput: not exactly one source is given, or an argument is not valid.
            SessionException: the server did not answer, or refused.
        """
        for name in others:
            advice = "give cache=SessionCache.from_url(url, ...) for the options of a cache, such as codecs and encode"
            raise InvalidInput(name=name, detail=f"is not an option of {type(self).__name__}: {advice}")
        self._caches = Caches(
            url=url, cache=cache, client=client, namespace=namespace, ttl=ttl, max_message_bytes=MAX_WIRE_BYTES
        )
        self._created_at: dict[tuple[str, str], str] = {}
        """The times at which agents were created, as this object knows them."""
        try:
            super().__init__(session_id=session_id, session_repository=self)
        except SessionException as problem:
            if not isinstance(problem.__cause__, SessionExists):
                raise
            super().__init__(session_id=session_id, session_repository=self)  # another process created it just now

    def create_session(self, session: Session, **kwargs: Any) -> Session:
        """Create a session. Raises SessionException when it exists. One round trip."""
        with _as_session_errors(session.session_id):
            try:
                self._caches.plain.create(
                    session_id_of(session.session_id), metadata={"strands_session": _plain(session.to_dict())}
                )
            except SessionExists as problem:
                raise SessionException(f"Session {session.session_id} already exists") from problem
        return session

    def read_session(self, session_id: str, **kwargs: Any) -> Session | None:
        """Return a session, or None. One round trip."""
        with _as_session_errors(session_id):
            try:
                info = self._caches.plain.session(session_id_of(session_id)).info()
            except SessionNotFound:
                return None
        return Session.from_dict(
            info.metadata.get("strands_session") or {"session_id": session_id, "session_type": "AGENT"}
        )

    def delete_session(self, session_id: str, **kwargs: Any) -> None:
        """Delete a session with its agents and messages. Raises SessionException when it does not exist."""
        with _as_session_errors(session_id):
            if not self._caches.plain.session(session_id_of(session_id)).delete():
                raise SessionException(f"Session {session_id} does not exist")

    def create_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        """Store an agent. One round trip. Raises InvalidInput for an ID that is too long."""
        self._messages(session_id, session_agent.agent_id)  # the name of this part has the ID
        with _as_session_errors(session_id):
            self._part(session_id, _AGENTS).put(_plain(session_agent.to_dict()), _key(session_agent.agent_id))
        self._created_at[session_id, session_agent.agent_id] = session_agent.created_at

    def read_agent(self, session_id: str, agent_id: str, **kwargs: Any) -> SessionAgent | None:
        """Return an agent, or None. One round trip."""
        found = self._get(session_id, _AGENTS, _key(agent_id))
        if found is None:
            return None
        agent = SessionAgent.from_dict(found)
        self._created_at[session_id, agent_id] = agent.created_at
        return agent

    def update_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        """Replace an agent. Raises SessionException when it does not exist. One round trip, two for an agent not seen yet."""
        agent_id = session_agent.agent_id
        if (session_id, agent_id) not in self._created_at:
            self.read_agent(session_id, agent_id)
        session_agent.created_at = self._created_at.get((session_id, agent_id), session_agent.created_at)
        with _as_session_errors(session_id):
            agents = self._part(session_id, _AGENTS)
            if not agents.put(_plain(session_agent.to_dict()), _key(agent_id), create=False):
                raise SessionException(f"Agent {agent_id} in session {session_id} does not exist")

    def create_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any) -> None:
        """Store a message once. One round trip, three when another process gave the same number to another message."""
        payload, id = _message_payload(session_message), _message_key(session_message.message_id)
        with _as_session_errors(session_id):
            part = self._messages(session_id, agent_id)
            if not part.append(payload, ids=[id]).left_out:
                return
            present = part.get(id)
            if present is None or present.payload["message"] != _plain(session_message.to_dict())["message"]:
                part.append(payload, ids=[_second_key(session_message)])

    def read_message(self, session_id: str, agent_id: str, message_id: int, **kwargs: Any) -> SessionMessage | None:
        """Return a message, or None. One round trip."""
        found = self._get(session_id, self._messages_name(agent_id), _message_key(message_id))
        return None if found is None else SessionMessage.from_dict(found)

    def update_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any) -> None:
        """Replace a message. Of a redacted message only the redacted form is stored. Two round trips.

        Raises SessionException when the message does not exist.
        """
        with _as_session_errors(session_id):
            part = self._messages(session_id, agent_id)
            stored = _find(part, session_message)
            if stored is None:
                raise SessionException(f"Message {session_message.message_id} does not exist")
            session_message.created_at = stored.payload["created_at"]
            part.replace(stored.seq, _message_payload(session_message))

    def list_messages(
        self, session_id: str, agent_id: str, limit: int | None = None, offset: int = 0, **kwargs: Any
    ) -> list[SessionMessage]:
        """Return messages by number. One round trip for each 1,000 or 1 MiB.

        Raises SessionException when the agent does not exist.
        """
        with _as_session_errors(session_id):
            part = self._messages(session_id, agent_id)
            found = _slice(part, limit, offset)
            if not found and self._get(session_id, _AGENTS, _key(agent_id)) is None and part.info() is None:
                raise SessionException(f"Agent {agent_id} in session {session_id} does not exist")
        return [SessionMessage.from_dict(one.payload) for one in found]

    def create_multi_agent(self, session_id: str, multi_agent: MultiAgentBase, **kwargs: Any) -> None:
        """Store the state of a multi-agent. One round trip."""
        with _as_session_errors(session_id):
            part = self._part(session_id, _MULTI_AGENTS)
            part.put({"state": multi_agent.serialize_state()}, _key(multi_agent.id))

    def read_multi_agent(self, session_id: str, multi_agent_id: str, **kwargs: Any) -> dict[str, Any] | None:
        """Return the state of a multi-agent, or None. One round trip."""
        found = self._get(session_id, _MULTI_AGENTS, _key(multi_agent_id))
        return None if found is None else found["state"]

    def update_multi_agent(self, session_id: str, multi_agent: MultiAgentBase, **kwargs: Any) -> None:
        """Replace the state of a multi-agent. Raises SessionException when it does not exist. Two round trips."""
        if self.read_multi_agent(session_id, multi_agent.id) is None:
            raise SessionException(f"MultiAgent state {multi_agent.id} in session {session_id} does not exist")
        self.create_multi_agent(session_id, multi_agent)

    def close(self) -> None:
        """Close the connections that this manager opened."""
        self._caches.close()

    def _part(self, session_id: str, name: str) -> Part:
        return self._caches.plain.session(session_id_of(session_id)).part(name)

    def _messages(self, session_id: str, agent_id: str) -> Part:
        return self._part(session_id, self._messages_name(agent_id))

    @staticmethod
    def _messages_name(agent_id: str) -> str:
        return f"messages/{quoted(text_of(agent_id, 'agent_id'))}"

    def _get(self, session_id: str, name: str, id: str) -> dict[str, Any] | None:
        with _as_session_errors(session_id):
            try:
                found = self._part(session_id, name).get(id)
            except SessionNotFound:
                return None
        return None if found is None else found.payload


@contextmanager
def _as_session_errors(session_id: str) -> Iterator[None]:
    """Turn the errors of the library into SessionException, except for arguments that are not valid."""
    try:
        yield
    except InvalidInput:
        raise
    except SessionNotFound as problem:
        raise SessionException(f"Session {session_id} does not exist") from problem
    except SessionsError as problem:
        raise SessionException(f"Session {session_id}: {problem}") from problem


def _find(part: Part, wanted: SessionMessage) -> Message | None:
    """Return the stored message: the one with its number that was created at the same time, else the first with its number."""
    first = part.get(_message_key(wanted.message_id))
    if first is None or first.payload["created_at"] == wanted.created_at:
        return first
    second = part.get(_second_key(wanted))
    if second is not None and second.payload["created_at"] == wanted.created_at:
        return second
    for one in part.history():
        if (one.payload["message_id"], one.payload["created_at"]) == (wanted.message_id, wanted.created_at):
            return one
    return first


def _slice(part: Part, limit: int | None, offset: int) -> list[Message]:
    """Return messages by number, from the position `offset` on.

    Mostly the message at position n has the number n and the seq n + 1, so that only the slice is read.
    """
    if offset < 0 or (limit is not None and limit < 0):
        raise ValueError(f"limit and offset must not be negative, got {limit} and {offset}")
    if limit == 0:
        return []
    after, before = limit_of(offset), None if limit is None else limit_of(offset + limit + 1)
    found = [] if after is None else part.history(after_seq=after, before_seq=before)
    numbers = sorted(one.payload["message_id"] for one in found)
    if numbers != list(range(offset, offset + len(found))) or not found:
        found = part.history()
        found.sort(key=lambda one: one.payload["message_id"])
        return found[offset:] if limit is None else found[offset : offset + limit]
    return sorted(found, key=lambda one: one.payload["message_id"])


def _message_payload(message: SessionMessage) -> Message | dict[str, Any]:
    """Return a message as it is stored: of a redacted message the redacted form alone."""
    payload: dict[str, Any] = _plain(message.to_dict())
    if payload.get("redact_message") is not None:
        payload["message"] = payload["redact_message"]
    role = payload["message"].get("role") if isinstance(payload["message"], dict) else None
    return Message(role, payload=payload) if role in KIND_OF_ROLE else payload


def _message_key(message_id: int) -> str:
    if not isinstance(message_id, int) or isinstance(message_id, bool):
        raise ValueError(f"message_id=<{message_id}> | message id must be an integer")
    return f"m{message_id}"


def _second_key(message: SessionMessage) -> str:
    """Return the ID of a message whose number another message has."""
    content = json.dumps(_plain(message.to_dict())["message"], sort_keys=True)
    return f"m{message.message_id}.{digest(content)}"


def _key(id: str) -> str:
    """Return the ID under which an agent is stored."""
    text = text_of(id, "agent_id")
    is_plain = len(text) <= 100 and text.isascii() and text.replace("-", "").replace("_", "").isalnum()
    return f"a{text}" if is_plain else f"={digest(text)}"


def _plain(value: Any) -> Any:
    """Return a value as its JSON says it, for example an enum as its value."""
    return json.loads(json.dumps(value))
