"""`doctor --acl`: read the rights of a server user, on every node."""

from __future__ import annotations

from typing import Any

from .._sync.api.cache import SessionCache
from ..errors import AccessDenied
from .doctor_acl import compare, parse_user
from .doctor_checks import Finding


def examine_user(cache: SessionCache, user: str) -> list[Finding]:
    """Return the findings about the rights of a user for the namespace. Raises AccessDenied without the right to ACL."""
    router = cache._context.router
    categories = {
        name.decode(): {one.decode() for one in _answered(cache, ("ACL", "CAT", name))[0]}
        for name in _answered(cache, ("ACL", "CAT"))[0]
    }
    findings: dict[Finding, None] = {}  # the nodes of a cluster have users of their own, mostly with the same rights
    for reply in _answered(cache, ("ACL", "GETUSER", user)):
        if reply is None:
            advice = "make the user with the line that `redis-sessions doctor --acl-line` prints"
            findings[Finding("fail", "user", f"no user {user}", advice)] = None
            continue
        found = compare(user, parse_user(reply), categories, cache.namespace, in_cluster=router.is_cluster)
        findings |= dict.fromkeys(found)
    return [*findings]


def _answered(cache: SessionCache, command: tuple[Any, ...]) -> list[Any]:
    replies = cache._context.router.send_to_all(command)
    for reply in replies:
        if isinstance(reply, Exception):
            raise AccessDenied(where=cache.where, detail=f"--acl needs the right to {command[0]} {command[1]}: {reply}")
    return replies
