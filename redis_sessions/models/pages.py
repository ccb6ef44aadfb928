"""A page of a list."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Page(NamedTuple, Generic[T]):
    """Some of the items of a list. `cursor` asks for what comes after them; None when there is no more."""

    items: list[T]
    cursor: str | None
