"""`doctor --reindex`: rebuild the indexes and the queues from the sessions themselves, while the fleet runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress

from redis.exceptions import RedisError

from .._core.commands import index_entries
from .._core.protocol.found_keys import every_document, every_session, session_id_of
from .._core.protocol.ids import check_category
from .._core.protocol.transport_errors import TransportError
from .._sync.api.cache import SessionCache
from .._sync.services.lost_work import requeue
from ..errors import AccessDenied, InvalidInput, StoreUnavailable

_BATCH = 200


def reindex(cache: SessionCache, progress: Callable[[int], None]) -> int:
    """Put every session and every category of documents into the indexes, and remove the entries of sessions that are gone.

    Runs and turns that their queues lost are put into the queues again.

    Returns:
        How many sessions were checked.

    Raises:
        AccessDenied: the user may not SCAN.
        StoreUnavailable: a server did not answer. The command can be repeated.

    Cost: reads the names of all keys three times, three round trips for each 200 sessions, two for each 200 index entries, and
    one or two for each session with work.
    """
    context = cache._context
    checked = 0
    try:
        ids = _session_ids(cache)
        while batch := list(itertools.islice(ids, _BATCH)):
            context.indexer.repairs.repair(batch)
            requeue(context.executor, context.run_queues, batch)
            checked += len(batch)
            progress(checked)
        _remove_wrong_entries(cache)
        prefix = every_document(cache.namespace).removesuffix("*")
        for key in cache._context.router.scan(every_document(cache.namespace)):
            with suppress(UnicodeDecodeError, InvalidInput):  # a key that this package did not make
                cache._context.categories.register(check_category(key.decode().removeprefix(prefix)))
    except (TransportError, RedisError) as problem:
        if "NOPERM" in str(problem) or "permission" in str(problem):
            raise AccessDenied(where=cache.where, detail=f"--reindex needs the right to SCAN: {problem}") from None
        detail = f"{problem}; {checked} sessions were checked, and the command can be repeated"
        raise StoreUnavailable(where=cache.where, waited=0.0, detail=detail) from None
    return checked


def _remove_wrong_entries(cache: SessionCache) -> None:
    """Remove the entries of sessions that are gone or listed elsewhere."""
    repairs = cache._context.indexer.repairs
    for key in cache._context.router.scan(index_entries.all_indexes(cache.namespace)):
        index = index_entries.entry_keys_of(cache.namespace, key.decode(errors="replace"))
        if index is not None:
            repairs.sweep(index)


def _session_ids(cache: SessionCache) -> Iterator[str]:
    for key in cache._context.router.scan(every_session(cache.namespace)):
        id = session_id_of(cache.namespace, key)
        if id is not None:
            yield id
