"""New sessions: their fields and options, and writes that create their session first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...bounds import StorageBounds
from ...settings import Description, NewSession, SessionSettings, TokenCounter, checked_names
from ..protocol.call import Argument, Call
from ..protocol.encoding import encoded_fields
from ..protocol.keys import SessionKeys
from ..protocol.scripts import CREATING_SCRIPTS
from .option_fields import new_session_fields
from .session_fields import description_fields, state_fields
from .storage_bounds import check_fields


class Creation(NamedTuple):
    """A session to be created by its first write: what it says of itself, and its options."""

    fields: dict[str, Argument]
    settings: SessionSettings

    @classmethod
    def of(
        cls, given: Mapping[str, Any], defaults: SessionSettings, counter: TokenCounter, bounds: StorageBounds
    ) -> Creation:
        """Return the creation of a session from the arguments of `create`. Raises InvalidInput."""
        checked_names(given, NewSession)
        described = {name: value for name, value in given.items() if name in Description.__annotations__}
        options = {name: value for name, value in given.items() if name not in described and name != "state"}
        fields = description_fields(counter, bounds, **described)
        if given.get("state"):
            fields |= state_fields(given["state"])
            check_fields(bounds, fields)
        return cls(fields, SessionSettings.of(options, defaults))

    def precede(self, call: Call[Any], keys: SessionKeys, incarnation: str) -> None:
        """Have a write create the session with this incarnation first, if the session does not exist."""
        settings = self.settings
        fields = new_session_fields(settings, encoded_fields(keys, self.fields))
        call.create_first([incarnation, settings.caps, settings.ttl_ms, settings.max_lifetime_ms, *fields])


def can_create(call: Call[Any]) -> bool:
    """Return whether a write has a variant that creates its session first, and stores something."""
    return call.stores and call.script is not None and call.script.name in CREATING_SCRIPTS


def made_by(reply: Any) -> str:
    """Return the incarnation that the reply of such a write names."""
    first = reply[0] if isinstance(reply, list) else reply
    return str(first[:12].decode())
