"""A page of a list."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Page(NamedTuple, Generic[T]):
    """Some items of a list."""

    items: list[T]
    """The items of this page."""
    cursor: str | None
    """Give it to the same method to get the next page. None on the last page."""
