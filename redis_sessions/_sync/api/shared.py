# Generated from _async/api/shared.py by tools/mirror.py; edit that file.
"""Shared scopes: JSON values by name outside of sessions, for many sessions and processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, overload

from ..._core.commands import shared
from ..._core.protocol.ids import new_operation_id
from ..._core.protocol.shared_keys import SharedKeys
from ..._pickling import NotPicklable
from ..services.context import CacheContext
from .session_state import validated

T = TypeVar("T")


class SharedScope(NotPicklable):
    """The values of one scope. Pydantic models, dataclasses and named tuples are stored as JSON objects.

    Each method is one atomic round trip. A write is made once, also when its reply was lost and the call is retried. The first
    write of a process to a scope within an hour takes one round trip more. A write raises BoundExceeded when the scope would
    have more than `shared_bytes` bytes or `shared_values` values, or the namespace more than `scopes` scopes.
    """

    _instead = "send its `scope`, and call `shared(scope)` of a cache there"

    def __init__(self, context: CacheContext, keys: SharedKeys, ttl_ms: int | None) -> None:
        self._context = context
        self._keys = keys
        self._ttl_ms = ttl_ms
        self.scope = keys.id
        """The scope."""

    @overload
    def get(self, name: str, default: None = None, *, type: type[T]) -> T | None: ...

    @overload
    def get(self, name: str, default: T, *, type: type[T]) -> T: ...

    @overload
    def get(self, name: str, default: Any = None) -> Any: ...

    def get(self, name: str, default: Any = None, *, type: type[T] | None = None) -> Any:
        """Return a value, or the default when there is none.

        Args:
            name: 1 to 256 printable characters.
            default: returned when the name has no value.
            type: a pydantic model or any other type. The value is returned as that type.

        Raises:
            InvalidState: the value does not fit the type, or is damaged.
        """
        missing = object()
        found = self._context.executor.run(shared.get(self._keys, name, missing, self._context.chain))
        return default if found is missing else validated(found, type, name)

    def all(self) -> dict[str, Any]:
        """Return all values by name, sorted by name. Raises InvalidState that names a damaged value."""
        return self._context.executor.run(shared.get_all(self._keys, self._context.chain))

    def put(self, name: str, value: Any) -> None:
        """Replace a value."""
        self.patch({name: value})

    def patch(self, values: Mapping[str, Any]) -> None:
        """Replace several values at once, and leave the others."""
        self._write(values, ())

    def delete(self, name: str) -> bool:
        """Remove a value. Return whether there was one."""
        return bool(self._write({}, [name]))

    def clear(self) -> int:
        """Remove all values. Return how many there were."""
        return self._write({}, (), clear=True)

    def add(self, name: str, amount: int = 1, *, batch_id: str | None = None) -> int:
        """Add to a whole number, exactly once for a `batch_id`. Without a value it adds to 0.

        Args:
            name: 1 to 256 printable characters.
            amount: may be negative.
            batch_id: an ID among the last 1,024 writes of the scope returns its first result and adds nothing.

        Returns:
            The sum.

        Raises:
            NotAnInteger: the value is not a whole number within ±(2^53 - 1), or the sum would leave that range.
        """
        context = self._context
        call = shared.add(self._keys, name, amount, batch_id, context.bounds, ttl_ms=self._ttl_ms)
        context.scopes.register(self.scope)
        return context.executor.run(call)

    def _write(self, values: Mapping[str, Any], removed: Sequence[str], *, clear: bool = False) -> int:
        context = self._context
        change = shared.change(self.scope, values, removed, context.bounds, context.chain)
        call = shared.write(
            self._keys, change, new_operation_id(), context.bounds, ttl_ms=self._ttl_ms, clear=clear
        )  # fmt: skip
        if values:
            context.scopes.register(self.scope)
        return context.executor.run(call)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.scope!r})"
