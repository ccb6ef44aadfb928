"""`doctor --reindex`: the indexes are made anew from the sessions themselves, while the fleet runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from redis.exceptions import RedisError

from .._core.faults import Fault
from .._core.keys import every_document, every_session, id_of
from .._sync.cache import SessionCache
from ..errors import AccessDenied, StoreUnavailable

_AT_ONCE = 200


def reindex(cache: SessionCache, progress: Callable[[int], None]) -> int:
    """Lists every session where it belongs, and takes out what is gone; says at how many it looked. And lists every category
    of documents.

    Reads the whole keyspace twice, node by node, and each session: two round trips for 200 of them. It can be repeated at any
    time.
    Raises AccessDenied, StoreUnavailable.
    """
    indexes = cache._home.indexes
    looked = 0
    try:
        ids = _ids(cache)
        while some := list(itertools.islice(ids, _AT_ONCE)):
            indexes.settle(some)
            looked += len(some)
            progress(looked)
        indexes.sweep()
        prefix = every_document(cache.namespace).removesuffix("*")
        for key in cache._nodes.scan(every_document(cache.namespace)):
            cache._categories.prepare(key.decode().removeprefix(prefix))
    except (Fault, RedisError) as problem:
        if "NOPERM" in str(problem) or "permission" in str(problem):
            raise AccessDenied(where=cache.where, detail=f"--reindex needs SCAN: {problem}") from None
        detail = f"{problem}; {looked} sessions were looked at, and it can be repeated"
        raise StoreUnavailable(where=cache.where, waited=0.0, detail=detail) from None
    return looked


def _ids(cache: SessionCache) -> Iterator[str]:
    for key in cache._nodes.scan(every_session(cache.namespace)):
        id = id_of(cache.namespace, key)
        if id is not None:
            yield id
