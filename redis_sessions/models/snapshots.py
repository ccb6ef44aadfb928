"""A session as of one moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .messages import Message
from .sessions import SessionInfo


class Snapshot(NamedTuple):
    """What `load` returns: a session with its state and messages, as of one moment."""

    info: SessionInfo
    """What `info()` returns."""
    state: dict[str, Any]
    """What `state.all()` returns: all values by name, sorted by name."""
    messages: list[Message]
    """What `history()` returns: the newest messages of the range, oldest first."""
    shared: Mapping[str, Mapping[str, Any]] = {}
    """The values of the shared scopes that were asked for, by scope and name. They are read in the same round trip."""
