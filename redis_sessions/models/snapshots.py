"""A session as of one moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .messages import Message
from .sessions import SessionInfo


class Snapshot(NamedTuple):
    """A session with its state and messages, as of one moment."""

    info: SessionInfo
    """The result of `info()`."""
    state: dict[str, Any]
    """The result of `state.all()`: all values by name, sorted by name."""
    messages: list[Message]
    """The result of `history()`: the newest messages of the range, oldest first."""
    shared: Mapping[str, Mapping[str, Any]] = {}
    """The values of the shared scopes that the call named, by scope and name, read in the same round trip."""
