# Generated from ../_async/state.py by tools/mirror.py; edit that file.
"""A session's state (JSON by name) and variables (texts by name)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from pydantic import BaseModel, TypeAdapter, ValidationError

from .._core import descriptions, sessions, state
from .._core.calls import Call
from .._core.codec import from_json, to_json
from .._core.keys import SessionKeys
from ..errors import InvalidInput, InvalidState
from . import io

T = TypeVar("T")
Run = Callable[[Call[Any]], Any]


class _Names(io.DictAccess, ABC):
    """Named values of a session. Each call is one round trip and atomic; writes extend the session's life.

    All raise SessionNotFound when the session is gone, and with `expected_rev` RevisionConflict when it moved on.
    """

    _prefix = ""

    def __init__(self, keys: SessionKeys, run: Run, writer: Callable[[], tuple[str, str]]) -> None:
        self._keys = keys
        self._run = run
        self._writer = writer

    @overload
    def get(self, name: str, default: None = None, *, type: type[T]) -> T | None: ...

    @overload
    def get(self, name: str, default: T, *, type: type[T]) -> T: ...

    @overload
    def get(self, name: str, default: Any = None) -> Any: ...

    def get(self, name: str, default: Any = None, *, type: type[T] | None = None) -> Any:
        """The value of a name, or the default when there is none.

        With `type`, a pydantic model or any type, the value as that type; InvalidState when it does not fit.
        """
        found = self._run(state.get(self._keys, self._writer()[0], self._prefix, name))
        if found is None:
            return default
        value = self._load(found)
        if type is None:
            return value
        try:
            return TypeAdapter(type).validate_python(value)
        except ValidationError as problem:
            detail = problem.errors(include_url=False)[0]["msg"]
            raise InvalidState(name=name, detail=f"is no {getattr(type, '__name__', type)}: {detail}") from None

    def put(self, name: str, value: Any, *, expected_rev: int | None = None) -> int:
        """Replaces a value: JSON or a pydantic model. Returns the session's rev."""
        return self.patch({name: value}, expected_rev=expected_rev)

    def patch(self, values: Mapping[str, Any], *, expected_rev: int | None = None) -> int:
        """Replaces several values at once, leaves the others. Returns the session's rev."""
        sets = {state.field(self._prefix, name): self._dump(name, value) for name, value in values.items()}
        rev, _ = self._run(sessions.patch(self._keys, *self._writer(), sets, expected_rev=expected_rev))
        return int(rev)

    def delete(self, name: str, *, expected_rev: int | None = None) -> bool:
        """Removes a value; says whether there was one."""
        removed = [state.field(self._prefix, name)]
        _, found = self._run(sessions.patch(self._keys, *self._writer(), {}, removed, expected_rev=expected_rev))
        return bool(found)

    def all(self) -> dict[str, Any]:
        """Every name with its value, sorted by name."""
        found = self._run(state.get_all(self._keys, self._writer()[0], self._prefix))
        return {name: self._load(found[name]) for name in sorted(found)}

    def clear(self, *, expected_rev: int | None = None) -> int:
        """Removes them all; returns how many there were."""
        return int(self._run(state.clear(self._keys, *self._writer(), self._prefix, expected_rev)))

    @abstractmethod
    def _dump(self, name: str, value: Any) -> str: ...

    @abstractmethod
    def _load(self, stored: bytes) -> Any: ...


class Variables(_Names):
    """Named texts of a session; apart from its state, with the same verbs."""

    _prefix = "var."

    def _dump(self, name: str, value: Any) -> str:
        if not isinstance(value, str):
            raise InvalidInput(name=name, detail=f"a variable is a text, not a {type(value).__name__}; use state")
        return descriptions.checked_text(value, name)

    def _load(self, stored: bytes) -> Any:
        return stored.decode()


class State(_Names):
    """Named JSON values of a session: anything JSON holds, and pydantic models."""

    _prefix = "state."

    def add(self, name: str, amount: int = 1, *, batch_id: str | None = None, expected_rev: int | None = None) -> int:
        """Adds to a whole number (0 when there is none), exactly once for a `batch_id`. Returns the sum."""
        return int(self._run(state.add(self._keys, *self._writer(), name, amount, batch_id, expected_rev)))

    def _dump(self, name: str, value: Any) -> str:
        return to_json(value.model_dump(mode="json") if isinstance(value, BaseModel) else value, name)

    def _load(self, stored: bytes) -> Any:
        return from_json(stored)
