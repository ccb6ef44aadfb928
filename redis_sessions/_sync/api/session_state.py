# Generated from _async/api/session_state.py by tools/mirror.py; edit that file.
"""A session's state (JSON by name) and variables (text by name)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from pydantic import TypeAdapter, ValidationError

from ..._arguments import mapping
from ..._core.commands import state
from ..._core.commands.session_fields import checked_text, state_field
from ..._core.protocol.call import Call
from ..._core.protocol.json_values import from_json, to_json
from ..._core.protocol.keys import SessionKeys
from ..._pickling import NotPicklable
from ...bounds import StorageBounds
from ...errors import InvalidInput, InvalidState
from ..transport.primitives import MappingAccess

T = TypeVar("T")
Run = Callable[[Call[Any]], Any]


class _NamedValues(NotPicklable, MappingAccess, ABC):
    """Named values of a session.

    Each method is one atomic round trip. A write extends the session's life. All methods raise SessionNotFound when the
    session is gone. A write with `expected_rev` raises RevisionConflict when the session changed.
    """

    _prefix = ""
    _instead = "send what `all()` returns"

    def __init__(
        self, keys: SessionKeys, run: Run, guard: Callable[[], tuple[str, str]], bounds: StorageBounds
    ) -> None:
        self._keys = keys
        self._run = run
        self._guard = guard
        self._bounds = bounds

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
        found = self._run(state.get(self._keys, self._guard()[0], self._prefix, name))
        return default if found is None else validated(self._read(name, found), type, name)

    def put(self, name: str, value: Any, *, expected_rev: int | None = None) -> int:
        """Replace a value. Return the session's new revision."""
        return self.patch({name: value}, expected_rev=expected_rev)

    def patch(self, values: Mapping[str, Any], *, expected_rev: int | None = None) -> int:
        """Replace several values at once, and leave the others. Return the session's new revision."""
        given = mapping(values, "values")
        sets = {state_field(self._prefix, name): self._dump(name, value) for name, value in given.items()}
        call = state.patch(self._keys, *self._guard(), sets, (), self._bounds, expected_rev=expected_rev)
        rev, _ = self._run(call)
        return int(rev)

    def delete(self, name: str, *, expected_rev: int | None = None) -> bool:
        """Remove a value. Return whether there was one."""
        removed = [state_field(self._prefix, name)]
        call = state.patch(self._keys, *self._guard(), {}, removed, self._bounds, expected_rev=expected_rev)
        _, count = self._run(call)
        return bool(count)

    def all(self) -> dict[str, Any]:
        """Return all values by name, sorted by name. Raises InvalidState that names a damaged value."""
        found = self._run(state.get_all(self._keys, self._guard()[0], self._prefix))
        return {name: self._read(name, found[name]) for name in sorted(found)}

    def _read(self, name: str, stored: bytes) -> Any:
        """Return a stored value. Raises InvalidState when it is damaged."""
        try:
            return self._load(stored)
        except (ValueError, RecursionError) as problem:
            raise InvalidState(name=name, detail=f"the stored value is damaged: {problem}") from None

    def clear(self, *, expected_rev: int | None = None) -> int:  # type: ignore[override, unused-ignore]
        """Remove all values. Return how many there were."""
        return int(self._run(state.clear(self._keys, *self._guard(), self._prefix, expected_rev)))

    @abstractmethod
    def _dump(self, name: str, value: Any) -> str: ...

    @abstractmethod
    def _load(self, stored: bytes) -> Any: ...


class Variables(_NamedValues):
    """Named text of a session, apart from its state, with the same methods."""

    _prefix = "var."

    def _dump(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise InvalidInput(
                name=name, detail=f"must be text, got a {type(value).__name__}: use state for other values"
            )
        return checked_text(value, name)

    def _load(self, stored: bytes) -> Any:
        return stored.decode()


class State(_NamedValues):
    """Named JSON values of a session. Pydantic models, dataclasses and named tuples are stored as JSON objects."""

    _prefix = "state."

    def add(self, name: str, amount: int = 1, *, batch_id: str | None = None, expected_rev: int | None = None) -> int:
        """Add to a whole number, exactly once for a `batch_id`. Without a value it adds to 0.

        Returns:
            The sum.

        Raises:
            NotAnInteger: the value is not a whole number within ±(2^53 - 1), or the sum would leave that range.
        """
        call = state.add(self._keys, *self._guard(), name, amount, batch_id, expected_rev, self._bounds)
        return int(self._run(call))

    def _dump(self, name: str, value: Any) -> str:
        return to_json(value, name)

    def _load(self, stored: bytes) -> Any:
        return from_json(stored)


def validated(value: Any, type: type[T] | None, name: str) -> Any:
    """Return a JSON value as a type, or as it is without one. Raises InvalidState."""
    if type is None:
        return value
    try:
        return TypeAdapter(type).validate_json(to_json(value, name))  # a strict model takes a time as text in JSON only
    except ValidationError as problem:
        detail = problem.errors(include_url=False)[0]["msg"]
        expected = getattr(type, "__name__", type)
        raise InvalidState(name=name, detail=f"the stored value is not a valid {expected}: {detail}") from None
