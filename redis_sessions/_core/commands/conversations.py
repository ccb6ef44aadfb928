"""Calls on channels: which session a channel talks in, and the forming of the next one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from ...settings import SessionSettings
from ..protocol.call import Argument, Call, invoke
from ..protocol.encoding import encoded_fields
from ..protocol.keys import ChannelKeys, SessionKeys
from ..protocol.scripts import script
from .option_fields import new_session_fields

CHANNEL_EXTRA_TTL_MS = 30 * 24 * 3600 * 1000
"""The time for which a channel is remembered after its session expired."""


class ConversationReply(NamedTuple):
    """Reply to a request for the session of a channel."""

    verdict: Literal["current", "formed", "idle", "other"]
    """current: the known session goes on. formed: the next one was made. idle: it must be made. other: another one is current."""
    value: str
    """The incarnation for current and formed, else the ID of the current session."""


def current_id(keys: ChannelKeys) -> Call[str]:
    """Read the ID of the session that a channel talks in, or ''."""
    return Call(("GET", keys.channel), keys, lambda reply: reply.decode() if reply else "", writes=False)


def stored_id(keys: ChannelKeys) -> Call[bytes | None]:
    """Read what a channel holds, as it is stored."""
    return Call(("GET", keys.channel), keys, _as_is, writes=False)


def _as_is(reply: bytes | None) -> bytes | None:
    return reply


def remove(keys: ChannelKeys, id: str | bytes) -> Call[bool]:
    """Forget which session a channel talks in, unless it is another one than `id` by now."""
    return invoke(script("conversations/remove"), keys, lambda reply: reply == 1, id=id)


def get_or_create(
    keys: ChannelKeys,
    current: SessionKeys | None,
    following: SessionKeys,
    incarnation: str,
    idle_ms: int,
    settings: SessionSettings,
    fields: Mapping[str, Argument],
    *,
    may_form: bool,
) -> Call[ConversationReply]:
    """Return the current session of a channel, or form the next one."""
    return invoke(
        script("conversations/get_or_create"),
        keys,
        lambda reply: ConversationReply(reply[0].decode(), reply[1].decode()),
        other_keys={
            "current": (current or following).session,
            "session": following.session,
            "messages": following.messages,
        },
        known_id=current.id if current else "",
        id=following.id,
        may_form=int(may_form),
        incarnation=incarnation,
        idle_ms=idle_ms,
        caps=settings.caps,
        ttl_ms=settings.ttl_ms,
        lifetime_ms=settings.max_lifetime_ms,
        keep_ms=max(idle_ms, settings.ttl_ms, settings.max_lifetime_ms) + CHANNEL_EXTRA_TTL_MS,
        rest=new_session_fields(settings, encoded_fields(following, fields)),
    )
