"""The categories that hold documents. Their index is a hint: it is written before the documents, and checked by lists."""

from __future__ import annotations

from collections.abc import Sequence

from ..._core.commands import documents
from ..._core.commands.stored_values import result_or_default
from ..._core.protocol.call import Call
from ..._core.protocol.ids import check_category
from ..._core.protocol.keys import DocumentKeys, document_keys, index_keys
from ..._durations import whole
from ...errors import BoundExceeded
from ...models.pages import Page
from ..transport.executor import Executor
from .registered_names import RegisteredNames


class DocumentCategories:
    """The categories of one namespace."""

    def __init__(self, executor: Executor, namespace: str) -> None:
        self._executor = executor
        self._namespace = namespace
        self._index = index_keys(namespace, "documents")
        self._registered = RegisteredNames(documents.REGISTERED_SECONDS)

    def keys_of(self, category: str) -> DocumentKeys:
        """Return the keys of a category. Raises InvalidInput for a bad one."""
        return document_keys(self._namespace, category)

    async def register(self, *categories: str) -> None:
        """Register categories before documents are written there. A process does so once an hour."""
        due = [one for one in categories if one not in self._registered]
        if not due:
            return
        calls = [documents.register_category(self._index, one, self._executor.bounds) for one in due]
        try:
            await self._executor.get_many(calls)
        except BoundExceeded:
            if not self._registered.may_make_room():
                raise
            await self._remove_empty()
            await self._executor.get_many(calls)
        self._registered.add(*due)

    async def _holding(self, names: Sequence[str]) -> list[bool]:
        """Return which categories hold documents that have not expired. One round trip."""
        found = await self._executor.run_many([documents.holds_any(self.keys_of(name)) for name in names])
        results = [result_or_default(one, 0) for one in found]
        for at, name in enumerate(names):
            while results[at] == documents.HOLDS_MORE:
                results[at] = await self._executor.run(documents.holds_any(self.keys_of(name)))
        return [result == 1 for result in results]

    async def _remove_empty(self) -> None:
        """Take the categories that hold nothing out of the index, unless they were registered lately."""
        names = await self.registered()
        for first in range(0, len(names), documents.MAX_PAGE_NAMES):
            batch = names[first : first + documents.MAX_PAGE_NAMES]
            results = await self._holding(batch)
            if empty := [name for name, holds in zip(batch, results, strict=True) if not holds]:
                await self._executor.run(documents.remove_categories(self._index, empty))

    async def registered(self) -> list[str]:
        """Return all categories that hold documents, or held some. One round trip."""
        return await self._executor.run(documents.registered_categories(self._index))

    async def delete(self, category: str) -> int:
        """Delete a category with all its documents. Return how many there were. Three round trips."""
        keys = self.keys_of(category)
        fields, _ = await live_fields(self._executor, keys)
        await self._executor.run(documents.delete_all(keys))
        await self._executor.run(documents.leave_index(self._index, category))
        self._registered.discard(category)
        return len(fields)

    async def _beginning_with(self, prefix: str) -> list[str]:
        """Return the registered categories that begin with a prefix, ascending. One round trip for each 10,000 categories."""
        found, place = set[str](), "0"
        while True:
            place, names = await self._executor.run(documents.scan_categories(self._index, place, prefix))
            found.update(names)
            if place == "0":
                return sorted(found)

    async def page(self, limit: int, cursor: str | None, prefix: str = "") -> Page[str]:
        """Return a page of categories that hold documents. Empty ones leave the index, unless they were registered lately."""
        whole(limit, "limit", minimum=1, maximum=documents.MAX_PAGE_CATEGORIES)
        after = "" if cursor is None else check_category(cursor, "cursor")
        names = await (self._beginning_with(prefix) if prefix else self.registered())
        names = [name for name in names if name > after]
        found: list[str] = []
        while names and len(found) <= limit:
            size = min(limit, documents.MAX_PAGE_NAMES) + 1
            batch, names = names[:size], names[size:]
            results = await self._holding(batch)
            found += [name for name, holds in zip(batch, results, strict=True) if holds]
            empty = [name for name, holds in zip(batch, results, strict=True) if not holds]
            if empty:
                await self._executor.run(documents.remove_categories(self._index, empty))
        return documents.name_page(found, limit)


async def live_fields(executor: Executor, keys: DocumentKeys) -> tuple[list[str], int]:
    """Return the fields of the documents that have not expired, and how many of them have a ttl.

    One round trip, and one more for each 1,000 documents with a ttl.
    """
    listing = await executor.run(documents.list_fields(keys))
    expired: set[str] = set()
    for first in range(0, len(listing.expiring), documents.MAX_PAGE_NAMES):
        part = listing.expiring[first : first + documents.MAX_PAGE_NAMES]
        gone = await executor.run(documents.expire(keys, part))
        expired.update(gone)
    fields = [field for field in listing.fields if field not in expired]
    return fields, len(listing.expiring) - len(expired)


async def put_within_bound(executor: Executor, calls: Sequence[Call[None]]) -> None:
    """Store documents that were refused, after their categories were counted exactly. Raises BoundExceeded."""
    for call in calls:
        assert isinstance(call.keys, DocumentKeys)
        _, call.arguments["expiring"] = await live_fields(executor, call.keys)
        await executor.run(call)
