"""The names of applications, users, sessions and values, as the cache stores them."""

from __future__ import annotations

import logging
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from google.adk.sessions.session import Session
from google.adk.sessions.state import State
from pydantic_core import to_jsonable_python

from ... import InvalidInput, compose_id
from .._shared import text_of, valid_json

_log = logging.getLogger("redis_sessions")
_MAX_PART = 80
"""The characters that one name takes in an ID at most. A longer name is replaced by its hash."""


def names_of(app_name: str, user_id: str, session_id: str) -> list[str]:
    """Return the names of a session. The framework takes spaces around a session ID away. Raises InvalidInput."""
    name = text_of(session_id, "session_id").strip()
    return [text_of(app_name, "app_name"), text_of(user_id, "user_id"), text_of(name, "session_id")]


def part_of(name: str) -> str:
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


def id_of(names: Sequence[str]) -> str:
    return "/".join(map(part_of, names))


def session_id_of(session: Session) -> str:
    return id_of((session.app_name, session.user_id, session.id))


def tags_of(app_name: str, user_id: str | None) -> list[str]:
    """Return the tags of a session: its application, and its user there. Raises InvalidInput."""
    app = part_of(text_of(app_name, "app_name"))
    return [app] if user_id is None else [app, f"{app}/{part_of(text_of(user_id, 'user_id'))}"]


def app_prefix(app_name: str) -> str:
    return f"adk/{part_of(app_name)}"


def app_scope(app_name: str) -> str:
    return f"{app_prefix(app_name)}/:app"  # no part begins with ':', so it is the scope of no user


def user_scope(app_name: str, user_id: str) -> str:
    return f"{app_prefix(app_name)}/{part_of(user_id)}"


def _name(key: str) -> str:
    """Return a key of the state as the name of a value. Keys of other characters than names have are escaped."""
    if key and key.isprintable() and key[0] != "=":
        return key
    return "=" + urlsafe_b64encode(key.encode("utf-8", "surrogatepass")).decode()


def by_key(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by the keys that they have in the state."""
    return {
        urlsafe_b64decode(name[1:]).decode("utf-8", "surrogatepass") if name[0] == "=" else name: value
        for name, value in values.items()
    }


def split_state(
    delta: Mapping[str, Any], app_name: str, user_id: str
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
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
    scopes = {app_scope(app_name): app, user_scope(app_name, user_id): user}
    return own, {scope: values for scope, values in scopes.items() if values}


def _jsonable(delta: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON. A value that has no JSON form is replaced by its text, with a warning."""
    delta = {key: value for key, value in delta.items() if not key.startswith(State.TEMP_PREFIX)}
    try:
        found = to_jsonable_python(delta, inf_nan_mode="null")
    except Exception:  # whatever the classes of the values raise
        _log.warning("some values of the state have no JSON form, and are stored as text", exc_info=True)
        found = to_jsonable_python(delta, inf_nan_mode="null", serialize_unknown=True)
    return valid_json(dict(found))
