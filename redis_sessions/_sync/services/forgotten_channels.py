# Generated from _async/services/forgotten_channels.py by tools/mirror.py; edit that file.
"""Forget a channel of a forgotten session."""

from __future__ import annotations

from collections.abc import Collection

from ..._core.commands import conversations, index_entries
from ..._core.protocol.keys import channel_keys, session_keys
from ...errors import InvalidInput
from .context import CacheContext
from .mistyped_keys import run_or_default


def forget_channel(context: CacheContext, channel: str, forgotten: Collection[str]) -> int:
    """Forget a channel that talks in a forgotten session, or in one that is gone. Return how many there were."""
    try:
        keys = channel_keys(context.namespace, channel)
    except InvalidInput:
        return 0
    current = run_or_default(context.executor, conversations.current_id(keys), "")
    if not current:
        return 0
    is_forgotten = current in forgotten
    if is_forgotten or not context.executor.run(index_entries.exists(session_keys(context.namespace, current))):
        removed = context.executor.run(conversations.remove(keys, current))
        return int(removed)
    return 0
