"""The keys of shared scopes. They are listed with all others in `keys`."""

from __future__ import annotations

from typing import NamedTuple

from .hash_tag import hash_tag
from .ids import check_id


class SharedKeys(NamedTuple):
    """The keys of a shared scope. Both have the tag of its name."""

    id: str
    tag: str
    values: str
    log: str


class ScopeIndexKeys(NamedTuple):
    """The keys of the index of shared scopes. They have a slot of their own."""

    id: str
    tag: str
    names: str
    times: str


def shared_keys(namespace: str, scope: str) -> SharedKeys:
    """Return the keys of a shared scope. Raises InvalidInput for a bad name."""
    tag = hash_tag(check_id(scope, "scope"))
    return SharedKeys(scope, tag, *[f"{namespace}:{{{tag}}}:{kind}:{scope}" for kind in ("shared", "shared-log")])


def scope_index_keys(namespace: str) -> ScopeIndexKeys:
    """Return the keys of the index of shared scopes."""
    return ScopeIndexKeys("shared", "shared", *[f"{namespace}:{{shared}}:{kind}" for kind in ("names", "registered")])
