"""Pickle caches by their URL, and refuse to pickle and to copy handles, which work over the connections of a cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn


class NotPicklable:
    """An object that `pickle`, `copy.copy` and `copy.deepcopy` refuse with a TypeError."""

    _instead: ClassVar[str]
    """The advice of the error."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} cannot be pickled or copied, because it works over the connections of its cache:"
            f" {self._instead}"
        )


class PicklableByUrl:
    """A cache that `pickle` and `copy` make again from its URL. The new cache opens its own connections."""

    engine: Any
    """The way to the server."""
    _options: Mapping[str, Any]
    """The options that the cache was made with."""
    _origin: tuple[str, Mapping[str, Any]] | None = None
    """The URL and the options of `from_url`. None for a client, and for a server that no other process can reach."""

    def __reduce__(self) -> tuple[Any, ...]:
        if self._origin is None:
            raise TypeError(
                f"this {type(self).__name__} cannot be pickled or copied, because no other process can make it again: it was made"
                " from a client, or its data ends with this process. Use from_url with a server that every process can reach"
            )
        url, options = self._origin
        return _make_again, (type(self), url, dict(options))


def _make_again(cls: Any, url: str, options: Mapping[str, Any]) -> object:
    return cls.from_url(url, **options)
