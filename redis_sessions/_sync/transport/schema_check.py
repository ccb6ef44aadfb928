# Generated from _async/transport/schema_check.py by tools/mirror.py; edit that file.
"""Check that the data of a namespace has the schema version of this client, and that the user may call what scripts call."""

from __future__ import annotations

from redis.exceptions import TryAgainError

from ..._core.commands.namespaces import claim
from ..._core.protocol.keys import SCHEMA_VERSION, meta_key
from ...errors import AccessDenied, SchemaMismatch
from .refusals import server_error
from .router import Router


class SchemaCheck:
    """The check of one namespace, once for each cache, and once more for its first write."""

    def __init__(self, router: Router, where: str, namespace: str) -> None:
        self._router = router
        self._where = where
        self._namespace = namespace
        self._may_read = self._may_write = False

    def is_due(self, is_write: bool) -> bool:
        """Return whether `check` has something to do before a call."""
        return not (self._may_write or (self._may_read and not is_write))

    def check(self, is_write: bool, due: float) -> None:
        """Refuse another schema version's data. A write claims a namespace that no other version claimed for this version.

        Raises SchemaMismatch, TransportError, the server's refusals, and AccessDenied for a write of a user who lacks a right.
        """
        if not self.is_due(is_write):
            return
        call = claim(self._namespace)
        key = meta_key(self._namespace)
        command, script = (call.command, call.script) if is_write else (("GET", key), None)
        reply, *_ = self._router.send(key, command, script, due=due)
        if isinstance(reply, TryAgainError):  # the slot of the key moves, so a script may not name two keys
            stored, *_ = self._router.send(key, ("GET", key), due=due)
            if stored == SCHEMA_VERSION.encode():
                return  # a later write tries the rights
        if isinstance(reply, Exception):
            raise server_error(self._where, "", reply)
        if reply is None:
            return  # nothing is stored yet
        denied: tuple[str, ...] = ()
        found = reply.decode() if isinstance(reply, bytes) else ""
        if is_write:
            found, denied = call.result(reply)
        if found not in (SCHEMA_VERSION, ""):
            raise SchemaMismatch(namespace=self._namespace, found=found, wanted=SCHEMA_VERSION)
        if denied:
            commands = ", ".join(denied)
            detail = f"scripts call {commands}, which the user may not call. Nothing was written"
            raise AccessDenied(where=self._where, detail=detail)
        self._may_read, self._may_write = True, self._may_write or is_write
