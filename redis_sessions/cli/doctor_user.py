"""`doctor --acl`: read the rights of a server user, on every node."""

from __future__ import annotations

from typing import Any

from redis.exceptions import NoPermissionError, RedisError

from .._core.protocol.transport_errors import TransportError
from .._sync.api.cache import SessionCache
from ..errors import AccessDenied, InvalidInput, StoreUnavailable
from .doctor_acl import compare, parse_user
from .doctor_checks import Finding


def examine_user(cache: SessionCache, user: str) -> list[Finding]:
    """Return the findings about the rights of a user for the namespace. Raises AccessDenied without the right to ACL."""
    try:
        user.encode()
    except UnicodeEncodeError:  # bytes of an argument that Python could not decode
        raise InvalidInput(name="--acl", detail="must be UTF-8") from None
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
        found = compare(
            user, parse_user(reply), categories, cache.namespace, in_cluster=cache._context.router.is_cluster
        )
        findings |= dict.fromkeys(found)
    return [*findings]


def ask_each(cache: SessionCache, command: tuple[Any, ...]) -> list[Any]:
    """Return the reply of each master, and the error of each that refuses or does not answer. Raises StoreUnavailable."""
    replies: list[Any] = []
    try:
        masters = cache._context.router.masters()
    except (TransportError, RedisError) as problem:
        raise StoreUnavailable(where=cache.where, waited=0.0, detail=str(problem)) from None
    for address, client in masters.items():
        try:
            replies.append(client.send(command)[0])
        except TransportError as problem:
            replies.append(type(problem)(f"{address} does not answer: {problem}"))
    return replies


def _answered(cache: SessionCache, command: tuple[Any, ...]) -> list[Any]:
    """Return the reply of each master. Raises AccessDenied, StoreUnavailable."""
    replies = ask_each(cache, command)
    for reply in replies:
        if isinstance(reply, NoPermissionError):
            raise AccessDenied(where=cache.where, detail=f"--acl needs the right to {command[0]} {command[1]}: {reply}")
        if isinstance(reply, Exception):
            raise StoreUnavailable(where=cache.where, waited=0.0, detail=str(reply))
    return replies
