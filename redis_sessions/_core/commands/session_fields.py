"""The descriptive fields of a session's hash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from ..._arguments import mapping
from ..._durations import whole
from ...bounds import DEFAULT_BOUNDS, StorageBounds
from ...errors import InvalidInput
from ...models.formats import format_named
from ...models.sessions import SESSION_TYPES, Kind, SessionType, session_type
from ...settings import TokenCounter
from ..protocol.call import Argument
from ..protocol.codec import counted
from ..protocol.ids import check_id
from ..protocol.json_values import to_json
from .storage_bounds import check_fields, check_tags

KINDS: tuple[str, ...] = get_args(Kind)
FORMATIONS = ("explicit", "first_loop")
MAX_METADATA_KEYS = 1000
MAX_PRIORITY = 100
TURN_ATTEMPTS = 3
"""The number of attempts at a turn that may fail."""
_FIELD_OF = {
    "user_id": ("user",),
    "agent_id": ("agent",),
    "parent_id": ("parent",),
    "format": ("format",),
    "name": ("name",),
    "type": ("type",),
    "tags": ("tags",),
    "system_prompt": ("system", "system_tokens"),
    "answered_by": ("answered_by",),
    "priority": ("priority",),
    "fairness_key": ("fairness_key",),
}
"""The fields of each description that `patch` can unset."""


def description_fields(
    counter: TokenCounter,
    bounds: StorageBounds,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    kind: str | None = None,
    name: str | None = None,
    type: SessionType | Mapping[str, Any] | None = None,
    tags: Sequence[str] | None = None,
    parent_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    system_prompt: str | None = None,
    formation: str | None = None,
    format: str | None = None,
    answered_by: str | None = None,
    priority: int | None = None,
    fairness_key: str | None = None,
) -> dict[str, Argument]:
    """Return the fields of a description. A value of None has no field. Raises InvalidInput."""
    fields: dict[str, Argument] = {}
    for field, id in (("user", user_id), ("agent", agent_id), ("parent", parent_id)):
        if id is not None:
            fields[field] = check_id(id, f"{field}_id")
    if kind is not None:
        fields["kind"] = checked_choice(kind, "kind", KINDS)
    if formation is not None:
        fields["formation"] = checked_choice(formation, "formation", FORMATIONS)
    if format is not None:
        fields["format"] = format_named(format).name
    if answered_by is not None:
        fields["answered_by"] = check_agent(answered_by, "answered_by")
    fields |= queue_fields(priority, fairness_key)
    if name is not None:
        fields["name"] = checked_text(name, "name")
    if type is not None:
        fields["type"] = _type(type)
    if tags is not None:
        fields["tags"] = to_json(checked_tags(tags), "tags")
        check_tags(bounds, tags)
    if system_prompt is not None:
        fields["system"] = checked_text(system_prompt, "system_prompt")
        fields["system_tokens"] = counted(counter, {"role": "system", "content": system_prompt})
    if metadata is not None and mapping(metadata, "metadata"):
        if len(metadata) > MAX_METADATA_KEYS:
            raise InvalidInput(
                name="metadata", detail=f"must have at most {MAX_METADATA_KEYS} keys, got {len(metadata)}"
            )
        fields["has_metadata"] = 1
        for key, value in metadata.items():
            fields[f"meta.{checked_text(key, 'metadata')}"] = to_json(value, f"metadata.{key}")
    check_fields(bounds, fields)
    return fields


def state_fields(state: Mapping[str, Any] | None) -> dict[str, Argument]:
    """Return the fields of the first state of a session. Raises InvalidInput."""
    given = {} if state is None else mapping(state, "state")
    return {state_field("state.", name): to_json(value, f"state.{name}") for name, value in given.items()}


def state_field(prefix: str, name: str) -> str:
    """Return the field of the session's hash that holds a name of its state or variables. Raises InvalidInput."""
    if not isinstance(name, str) or not 1 <= len(name) <= 256 or not name.isprintable():
        raise InvalidInput(name="name", detail=f"must be 1 to 256 printable characters, got {name!r}")
    return prefix + name


def queue_fields(priority: int | None, fairness_key: str | None) -> dict[str, Argument]:
    """Return the fields of a session's place in its queue. Raises InvalidInput."""
    fields: dict[str, Argument] = {}
    if priority is not None:
        fields["priority"] = whole(priority, "priority", minimum=-MAX_PRIORITY, maximum=MAX_PRIORITY)
    if fairness_key is not None:
        fields["fairness_key"] = check_id(fairness_key, "fairness_key", 128)
    return fields


def check_agent(agent_id: str, name: str = "agent_id") -> str:
    """Return the ID of an agent: it is part of the IDs of its sessions, so it has no ':'. Raises InvalidInput."""
    check_id(agent_id, name, 128)
    if ":" in agent_id:
        raise InvalidInput(name=name, detail=f"must not contain ':', got {agent_id!r}")
    return agent_id


def unset_fields(given: Mapping[str, Any]) -> list[str]:
    """Return the fields that a patch removes: those of the descriptions that are given as None. Raises InvalidInput."""
    names = [name for name, value in given.items() if value is None]
    for name in names:
        if name not in _FIELD_OF:
            raise InvalidInput(name=name, detail="must not be None: it cannot be unset")
    return [field for name in names for field in _FIELD_OF[name]]


def checked_choice(value: str, name: str, allowed: Sequence[str]) -> str:
    """Return a value that is one of some words. Raises InvalidInput."""
    if value not in allowed:
        raise InvalidInput(name=name, detail=f"must be one of {', '.join(allowed)}, got {value!r}")
    return value


def checked_tags(tags: Sequence[str]) -> list[str]:
    """Return tags that are a list of strings. Raises InvalidInput."""
    if isinstance(tags, str) or not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidInput(name="tags", detail=f"must be a list of strings, got {tags!r}")
    return list(tags)


def checked_text(value: str, name: str) -> str:
    """Return text that UTF-8 can encode. Raises InvalidInput."""
    if not isinstance(value, str):
        raise InvalidInput(name=name, detail=f"must be text, got {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError as problem:
        raise InvalidInput(name=name, detail=f"must be valid Unicode text: {problem.reason}") from None
    return value


def reason_text(reason: str | None, bounds: StorageBounds = DEFAULT_BOUNDS) -> str:
    """Return a reason as it is stored: within its bound, with a mark where it was cut, and U+FFFD for what is not Unicode.

    Raises InvalidInput when it is not text.
    """
    if reason is None:
        return ""
    if not isinstance(reason, str):
        raise InvalidInput(name="reason", detail=f"must be text, got {reason!r}")
    maximum = bounds.reason_bytes
    text = reason[: maximum + 1].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    data = text.encode()
    if len(data) <= maximum:
        return text
    mark = f" … (cut, {len(reason):,} characters)"
    return data[: maximum - len(mark.encode())].decode(errors="ignore") + mark


def _type(value: SessionType | Mapping[str, Any]) -> str:
    try:
        checked = session_type.validate_python(value)
    except ValidationError as problem:
        reason = problem.errors()[0]["msg"]
        types = ", ".join(one.__name__ for one in SESSION_TYPES)
        raise InvalidInput(name="type", detail=f"must be one of {types}, got {value!r:.200}: {reason}") from None
    return checked.model_dump_json()
