"""Checks of arguments that hold several values, or a function."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .errors import InvalidInput


def mapping(values: Any, name: str) -> Mapping[str, Any]:
    """Return values by name. Raises InvalidInput for anything else, such as a list of pairs."""
    if not isinstance(values, Mapping):
        raise InvalidInput(name=name, detail=f"must be a mapping of names to values, got {type(values).__name__}")
    return values


def texts(values: Any, name: str) -> list[str]:
    """Return a list of strings. Raises InvalidInput for anything else, such as one string."""
    listed = list(values) if isinstance(values, Iterable) and not isinstance(values, str) else None
    if listed is None or not all(isinstance(one, str) for one in listed):
        raise InvalidInput(name=name, detail=f"must be a list of strings, got {values!r:.200}")
    return listed


def check_no_contradiction(sets: Collection[str], removed: Collection[str]) -> None:
    """Raise InvalidInput for a name that one call both sets and removes."""
    for name in removed:
        if name in sets:
            raise InvalidInput(name=name, detail="must not be both set and removed by one call")


def check_function(value: object, name: str) -> None:
    """Raise InvalidInput for what cannot be called."""
    if not callable(value):
        raise InvalidInput(name=name, detail=f"must be a function, got {value!r:.80}")
