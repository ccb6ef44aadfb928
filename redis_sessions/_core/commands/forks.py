"""Calls that copy a session into a new one, and the templates of what a child's end tells its parent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

from ..._durations import whole
from ...errors import InvalidInput, SessionNotFound
from ...models.formats import MessageFormat, all_formats, format_named, format_names
from ...models.messages import kind_of_facts
from ...models.sessions import SessionInfo
from ...models.trees import SpawnRef
from ...settings import SessionSettings
from ..protocol.call import Argument, Call, invoke
from ..protocol.codec import facts_words
from ..protocol.encoding import decoded_origins, encoded_fields
from ..protocol.json_values import to_json
from ..protocol.keys import Origin, SessionKeys, StagedKeys
from ..protocol.result_records import FACTS_PLACE as _FACTS
from ..protocol.result_records import ID_PLACE as _ID
from ..protocol.result_records import TEXT_PLACE as _TEXT
from ..protocol.scripts import script
from .option_fields import NEW_TURNS, option_merges
from .session_fields import checked_choice

Report = Literal["message", "tool_result", False]
_COPIED_FIELDS = (
    "user agent parent name type tags has_metadata limits max_tokens max_inbox budget tree_limits formation "
    "priority fairness_key"
)
COPY_TTL_MS = 600_000
"""The time for which the copy of a fork that was not finished stays."""


class Fork(NamedTuple):
    """A new session that was copied from another."""

    incarnation: str
    last_seq: int


def fork(
    keys: SessionKeys,
    incarnation: str,
    new: SessionKeys,
    new_incarnation: str,
    up_to_seq: int | None,
    options: Mapping[str, Any],
    settings: SessionSettings,
    fields: Mapping[str, Argument],
    unset: Sequence[str],
) -> Call[Fork]:
    """Copy a session into a new one of the same slot. Options that are not given are those of the session."""
    words = zip(("max_messages", "cap_policy", "max_message_bytes"), settings.caps.split(), strict=True)
    caps = " ".join(word if name in options else "*" for name, word in words)
    merges, own = option_merges(options)
    if "answered_by" in fields:
        own["run"] = NEW_TURNS
    return invoke(
        script("sessions/fork"),
        keys,
        lambda reply: Fork(reply[0].decode(), reply[1]),
        other_keys={"fork": new.session, "fork_messages": new.messages, "copy": new.messages, "kept_copy": new.session},
        incarnation=incarnation,
        new_incarnation=new_incarnation,
        up_to=-1 if up_to_seq is None else whole(up_to_seq, "up_to_seq"),
        caps=caps,
        ttl_ms=settings.ttl_ms if "ttl" in options else -1,
        lifetime_ms=settings.max_lifetime_ms if "max_lifetime" in options else -1,
        copied=_COPIED_FIELDS,
        copied_rev=0,
        plan="",
        merges="".join(f"{'='.join(row)}=" for row in merges if row[0] != "settings"),
        unset=" ".join(unset),
        rest=[part for pair in ({**own, **encoded_fields(new, fields)}).items() for part in pair],
    )


class CopyProgress(NamedTuple):
    """The progress of the copy of a list of messages."""

    rev: int
    copied: int
    total: int


def copy_part(
    keys: SessionKeys, incarnation: str, new: SessionKeys, copy: StagedKeys, before: CopyProgress | None
) -> Call[CopyProgress]:
    """Copy the next part of a session's messages to the keys of a copy. `before` is what the last call returned."""
    rev, copied, _ = before or (0, 0, 0)
    return invoke(
        script("messages/copy_part"), keys, lambda reply: CopyProgress(*map(int, reply)),
        other_keys={"new_session": new.session, "copy": copy.elements, "kept_copy": copy.fields},
        incarnation=incarnation, rev=rev, copied=copied, ttl_ms=COPY_TTL_MS,
    )  # fmt: skip


def origins_of(keys: SessionKeys) -> Call[tuple[Origin, ...]]:
    """Read the sessions that a session was copied from. Raises SessionNotFound for one that was deleted since it was read."""

    def read(reply: Any) -> tuple[Origin, ...]:
        incarnation, origins = reply
        if incarnation is None:
            raise SessionNotFound(session_id=keys.id)
        return decoded_origins(keys, origins)

    return Call(("HMGET", keys.session, "incarnation", "origins"), keys, read, writes=False)


def copied_index_fields(info: SessionInfo) -> dict[str, Argument]:
    """Return the fields of a fork by which indexes list it."""
    fields: dict[str, Argument] = {}
    for name, value in (("user", info.user_id), ("agent", info.agent_id)):
        if value is not None:
            fields[name] = value
    if info.tags:
        fields["tags"] = json.dumps(info.tags)
    return fields


def copied_metadata(info: SessionInfo) -> dict[str, Argument]:
    """Return the fields of a fork that hold the metadata of the session."""
    return {f"meta.{key}": to_json(value, key) for key, value in info.metadata.items()}


def reports(report: Report, spawned_by: SpawnRef | None) -> str:
    """Return how the parent hears of the end of a child, a line for each message format of the parent. '' for the default.

    message: a user message. tool_result: the result of the call that spawned the child, or a user message for a format that
    has the result in the message of the call. False: nothing.
    """
    if report is False:
        return "- "
    checked_choice(report, "report", ("message", "tool_result"))
    if report == "message":
        return _message_reports(all_formats())
    if spawned_by is None or spawned_by.tool_call_id is None:
        raise InvalidInput(name="report", detail="'tool_result' needs spawned_by with a tool_call_id")
    call_id, tool = spawned_by.tool_call_id, spawned_by.tool_name or ""
    if _TEXT in call_id or _FACTS in call_id:
        raise InvalidInput(
            name="spawned_by", detail=f"tool_call_id must not contain {_TEXT} or {_FACTS}, got {call_id!r}"
        )
    lines = []
    for name in ("-", *format_names()):
        format = format_named("openai_chat" if name in ("-", "plain") else name)
        make = partial(format.call_result, call_id, tool)
        template = _template(format, make, call_id) or _template(format, format.user_message)
        if template:
            lines.append(f"{name} {template}")
    return "\n".join(lines)


@lru_cache(maxsize=8)
def _message_reports(formats: tuple[MessageFormat, ...]) -> str:
    """Return the lines for user messages. They change only with the registered formats."""
    default = _template(format_named("plain"), format_named("plain").user_message)
    lines = []
    for format in formats:
        template = _template(format, format.user_message)
        if template and template != default:
            lines.append(f"{format.name} {template}")
    return "\n".join(lines)


def _template(format: MessageFormat, make: Callable[[str], dict[str, Any]], call_id: str | None = None) -> str:
    """Return '<kind><flags> <facts or -> <payload>', with placeholders for the text and the metadata, and for an ID of the text.

    '' for a format in which the text does not stand alone, or in which the payload does not answer the call.
    """
    payload = make(_TEXT)
    if "id" in payload and payload["id"] != make("").get("id"):
        payload = {**payload, "id": _ID}
    text = json.dumps(payload | {"metadata": _FACTS}, ensure_ascii=False, separators=(",", ":"))
    placeholders = (text.count(json.dumps(_TEXT)), text.count(json.dumps(_FACTS)))
    facts = format.facts(payload)
    if placeholders != (1, 1) or (call_id is not None and (facts is None or facts.closes != (call_id,))):
        return ""
    return (
        f"u@ - {text}" if call_id is None or facts is None else f"{kind_of_facts(facts)}B {facts_words(facts)} {text}"
    )
