"""Sessions and events of the framework, made from what the cache stores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from google.adk.events.event import Event
from google.adk.sessions.session import Session
from google.adk.sessions.state import State
from pydantic import TypeAdapter

from ... import Snapshot
from .._shared import valid_json, valid_text
from ._names import app_scope, by_key, user_scope

_EVENTS = TypeAdapter(list[Event])
_EMPTY_ACTIONS = {"state_delta", "artifact_delta", "requested_auth_configs", "requested_tool_confirmations"}
"""Actions of an event that are not stored when they are empty, because that is their default."""


def events_of(found: Snapshot) -> list[Event]:
    """Return the events among the messages of a session. Others may have sent it messages that are none."""
    text = json.dumps(event_payloads(found), ensure_ascii=False)
    return _EVENTS.validate_json(valid_text(text))  # twice as fast as from dicts


def event_payloads(found: Snapshot) -> list[dict[str, Any]]:
    return [message.payload for message in found.messages if "invocation_id" in message.payload]


def payload_of(event: Event) -> dict[str, Any]:
    """Return an event as JSON, without what is empty by default."""
    payload: dict[str, Any] = event.model_dump(mode="json", exclude_none=True)
    actions = payload.pop("actions", {})
    actions = {name: value for name, value in actions.items() if value or name not in _EMPTY_ACTIONS}
    if payload.get("node_info") == {"path": ""}:
        del payload["node_info"]
    return valid_json({**payload, "actions": actions} if actions else payload)


def last_update(found: Snapshot) -> float:
    """Return the time of the newest event, or of the creation. One message of a snapshot is enough."""
    newest = found.messages[-1].payload if found.messages else {}
    return float(newest["timestamp"] if "invocation_id" in newest else found.info.metadata["adk"]["created"])


def marker_of(found: Snapshot) -> str:
    return f"{found.info.incarnation} {found.info.rev}"


def merged_state(
    own: Mapping[str, Any], names: Sequence[str], shared: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the state of a session with the values of its scopes."""
    state = by_key(own)
    for scope, prefix in ((app_scope(names[0]), State.APP_PREFIX), (user_scope(*names[:2]), State.USER_PREFIX)):
        state |= {prefix + key: value for key, value in by_key(shared.get(scope, {})).items()}
    return state


def to_session(found: Snapshot, names: Sequence[str], events: list[Event]) -> Session:
    """Return a session with the values of its scopes among its state."""
    app_name, user_id, name = names
    session = Session(
        id=name, app_name=app_name, user_id=user_id, state=merged_state(found.state, names, found.shared), events=events,
        last_update_time=last_update(found),
    )  # fmt: skip
    session._storage_update_marker = marker_of(found)
    return session
