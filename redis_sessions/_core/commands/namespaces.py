"""The claim of a namespace by the first write of a cache."""

from __future__ import annotations

from typing import NamedTuple

from ..protocol.call import Call, invoke
from ..protocol.keys import SCHEMA_VERSION, namespace_keys
from ..protocol.scripts import script


class Claim(NamedTuple):
    """The reply to a claim."""

    version: str
    """The schema version of the namespace, or '' if no client claimed it and rights are missing."""
    denied: tuple[str, ...]
    """The commands that scripts call and the user may not call."""


def claim(namespace: str) -> Call[Claim]:
    """Claim a namespace for the schema version of this client, unless the user may not call what scripts call."""
    keys = namespace_keys(namespace)
    return invoke(script("namespaces/claim"), keys, _read_claim, version=SCHEMA_VERSION)


def _read_claim(reply: list[bytes]) -> Claim:
    version, *denied = [one.decode(errors="replace") for one in reply]
    return Claim(version, tuple(denied))
