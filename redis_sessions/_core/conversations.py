"""Conversations: which session a channel talks in, and the forming of the next one."""

from __future__ import annotations

from collections.abc import Mapping

from ..settings import SessionSettings
from .calls import Argument, Call, invoke
from .keys import ChannelKeys, SessionKeys
from .scripts import script

CHANNEL_MS = 30 * 24 * 3600 * 1000
"""How much longer than its session a channel is remembered."""


def channel(keys: ChannelKeys) -> Call[str]:
    """The id of the session that a channel talks in, or ''."""
    return Call(("GET", keys.channel), keys, lambda reply: reply.decode() if reply else "", writes=False)


def converse(
    keys: ChannelKeys,
    current: SessionKeys | None,
    following: SessionKeys,
    life: str,
    idle_ms: int,
    settings: SessionSettings,
    fields: Mapping[str, Argument],
    *,
    form: bool,
) -> Call[tuple[str, str]]:
    """Reads as ('current', life), ('formed', life), ('idle', the id it has) or ('other', the id of the current one)."""
    rest = [part for pair in (settings.fields() | dict(fields)).items() for part in pair]
    return invoke(
        script("sessions/converse"),
        keys,
        lambda reply: (reply[0].decode(), reply[1].decode()),
        others={
            "current": (current or following).session,
            "session": following.session,
            "messages": following.messages,
        },
        known_id=current.id if current else "",
        id=following.id,
        form=int(form),
        life=life,
        idle=idle_ms,
        rules=settings.rules,
        ttl=settings.ttl_ms,
        lifetime=settings.max_lifetime_ms,
        keep=max(idle_ms, settings.ttl_ms, settings.max_lifetime_ms) + CHANNEL_MS,
        rest=rest,
    )
