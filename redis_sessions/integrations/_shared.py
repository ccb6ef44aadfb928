"""The parts that all integrations have in common: opening a cache, and the error for a framework that is not installed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, TypeVar, cast

from .. import AsyncSessionCache, InvalidInput, SessionCache, compose_id
from .._durations import Duration

_MAX_LIMIT = 2**53
_T = TypeVar("_T")


@contextmanager
def needs(package: str, extra: str) -> Iterator[None]:
    """Turn the ImportError of a framework's import into one that says what to install."""
    try:
        yield
    except ImportError as problem:
        raise ImportError(
            f"redis_sessions.integrations.{extra.replace('-', '_')} needs {package}, which cannot be imported ({problem}):"
            f" pip install 'redis-sessions[{extra}]'"
        ) from problem


def check_source(url: object, cache: object, client: object) -> None:
    """Refuse an adapter that is given none or several of the three. Raises InvalidInput."""
    given = {"url": url, "cache": cache, "client": client}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        detail = f"give exactly one of url, cache and client, got {' and '.join(named) or 'none of them'}"
        raise InvalidInput(name="url", detail=detail)


def text_of(value: Any, name: str) -> str:
    """Return a value that is text of at least one character. Raises InvalidInput that names it."""
    if not isinstance(value, str) or not value:
        raise InvalidInput(name=name, detail=f"must be text of at least one character, got {value!r:.80}")
    return value


def valid_text(text: str) -> str:
    """Return text with U+FFFD for each half of a surrogate pair, which UTF-8 cannot encode and most parsers refuse."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def valid_json(value: _T) -> _T:
    """Return a JSON value with U+FFFD for each half of a surrogate pair."""
    text = json.dumps(value, ensure_ascii=False)
    valid = valid_text(text)
    return value if valid is text else cast(_T, json.loads(valid))


def id_of(*names: str) -> str:
    """Return the session ID of some names of any characters and any length. Other names have another ID.

    Names that are too long for an ID are hashed, in an ID of one part more. Raises InvalidInput for a name that is not text.
    """
    try:
        return compose_id(*names)
    except InvalidInput:
        if not all(isinstance(name, str) for name in names):
            raise
        return compose_id(sha256(json.dumps(names).encode()).hexdigest(), *[""] * len(names))


def limit_of(limit: int | None) -> int | None:
    """Return a limit of a framework, or None for one above all numbers of the library, such as `sys.maxsize`."""
    return None if limit is None or limit > _MAX_LIMIT else limit


_Cache = TypeVar("_Cache", SessionCache, AsyncSessionCache)


def borrowed(cache: _Cache, source: object) -> _Cache:
    """Return a cache over a given one, which does not keep an embedded server alive after the given cache was closed."""
    if isinstance(source, SessionCache | AsyncSessionCache):
        cache._release()
    return cache


class Caches:
    """The caches of an adapter, for threads and for asyncio, over one server. That for asyncio is made at its first use.

    An adapter closes what it made, and nothing that it was given.
    """

    def __init__(
        self,
        *,
        url: str | None,
        cache: SessionCache | AsyncSessionCache | None,
        client: Any,
        namespace: str | None,
        ttl: Duration | None,
        max_messages: int | None = None,
        **options: Any,
    ) -> None:
        """Take exactly one of a URL, a cache and a redis-py client.

        Args:
            url: see `SessionCache.from_url`.
            cache: a cache of either kind. Its options count, except for the life and the cap of sessions.
            client: a client of redis or of redis.asyncio.
            namespace: the namespace. Default: that of the cache, else "sessions".
            ttl: idle life of sessions. None for no end.
            max_messages: cap of sessions. None for none.
            **options: further options of `SessionCache.from_url`.

        Raises:
            InvalidInput: not exactly one of them is given, or an argument is not valid.
        """
        check_source(url, cache, client)
        options |= {"ttl": ttl, "max_messages": max_messages}
        if namespace is not None:
            options["namespace"] = namespace
        source = cache if cache is not None else client
        self._given = source  # it stays alive as long as the adapter
        self.plain = (
            SessionCache.from_url(url, **options)
            if url is not None
            else borrowed(SessionCache(source, **options), source)
        )
        """The cache for threads."""
        self._asynchronous: AsyncSessionCache | None = None
        self._making = threading.Lock()

    @property
    def asynchronous(self) -> AsyncSessionCache:
        """The cache for asyncio. It serves any number of event loops."""
        with self._making:
            if self._asynchronous is None:
                self._asynchronous = borrowed(AsyncSessionCache(self.plain), self.plain)
            return self._asynchronous

    def close(self) -> None:
        """Close the connections. For code without an event loop."""
        self.plain.close()

    async def aclose(self) -> None:
        """Close the connections of both caches."""
        await self.asynchronous.close()
        self.plain.close()
