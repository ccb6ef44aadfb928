"""What a session says of itself, as fields of its hash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import InvalidInput
from ..models.sessions import SessionType, session_type
from .calls import Argument
from .codec import TokenCounter, to_json
from .ids import check_id
from .indexes import KINDS, MOST_TAGS

MOST_METADATA = 1000
FORMATIONS = ("explicit", "first_loop")


def describe(
    count: TokenCounter,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    kind: str | None = None,
    name: str | None = None,
    type: SessionType | Mapping[str, Any] | None = None,
    tags: list[str] | None = None,
    parent_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    system_prompt: str | None = None,
    formation: str | None = None,
) -> dict[str, Argument]:
    """The fields of a session's hash that say what it is; what is None is left out."""
    fields: dict[str, Argument] = {}
    for field, id in (("user", user_id), ("agent", agent_id), ("parent", parent_id)):
        if id is not None:
            fields[field] = check_id(id, f"{field}_id")
    if kind is not None:
        if kind not in KINDS:
            raise InvalidInput(name="kind", detail=f"{kind!r} is none of {', '.join(KINDS)}")
        fields["kind"] = kind
    if formation is not None:
        if formation not in FORMATIONS:
            raise InvalidInput(name="formation", detail=f"{formation!r} is none of {', '.join(FORMATIONS)}")
        fields["formation"] = formation
    if name is not None:
        fields["name"] = checked_text(name, "name")
    if type is not None:
        fields["type"] = _type(type)
    if tags is not None:
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            raise InvalidInput(name="tags", detail=f"{tags!r} is no list of texts")
        if len(set(tags)) > MOST_TAGS:
            raise InvalidInput(
                name="tags", detail=f"{len(set(tags))} different ones; a session is found by {MOST_TAGS} at most"
            )
        fields["tags"] = to_json(tags, "tags")
    if system_prompt is not None:
        fields["system"] = checked_text(system_prompt, "system_prompt")
        fields["system_tokens"] = count({"role": "system", "content": system_prompt})
    if len(metadata or {}) > MOST_METADATA:
        raise InvalidInput(name="metadata", detail=f"{len(metadata or {})} keys; at most {MOST_METADATA} at once")
    for key, value in (metadata or {}).items():
        fields[f"meta.{checked_text(key, 'metadata')}"] = to_json(value, f"metadata.{key}")
    return fields


def checked_text(value: str, name: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(name=name, detail=f"{value!r} is no text")
    try:
        value.encode()
    except UnicodeEncodeError as problem:
        raise InvalidInput(name=name, detail=f"is no valid Unicode text: {problem.reason}") from None
    return value


def _type(value: SessionType | Mapping[str, Any]) -> str:
    try:
        checked = session_type.validate_python(value if isinstance(value, BaseModel) else dict(value))
    except ValidationError as problem:
        raise InvalidInput(name="type", detail=f"{value!r}: {problem.errors()[0]['msg']}") from None
    return checked.model_dump_json()
