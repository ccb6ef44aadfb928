"""Check that the data of a namespace has the schema version of this client."""

from __future__ import annotations

from ..._core.protocol.keys import SCHEMA_VERSION, meta_key
from ...errors import SchemaMismatch
from .refusals import server_error
from .router import Router


class SchemaCheck:
    """The check of one namespace, once for each cache."""

    def __init__(self, router: Router, where: str, namespace: str) -> None:
        self._router = router
        self._where = where
        self._namespace = namespace
        self.is_passed = False

    async def check(self, is_write: bool, due: float) -> None:
        """Refuse another schema version's data. A write claims a namespace that no other version claimed for this version.

        Raises SchemaMismatch, TransportError, and the server's refusals.
        """
        key = meta_key(self._namespace)
        commands = [("GET", key), ("SET", key, SCHEMA_VERSION, "NX"), ("GET", key)]
        for command in commands if is_write else commands[:1]:
            (found,) = await self._router.send(key, command, due=due)
            if isinstance(found, Exception):
                raise server_error(self._where, "", found)
            if found is not None:
                break
        else:
            return  # nothing is stored yet, or the writer that claims the namespace was in between
        if found not in (SCHEMA_VERSION.encode(), b"OK"):
            text = found.decode() if isinstance(found, bytes) else repr(found)
            raise SchemaMismatch(namespace=self._namespace, found=text, wanted=SCHEMA_VERSION)
        self.is_passed = True
