"""Documents: texts and JSON by category and name, which stay until they are deleted."""

from __future__ import annotations

import time
from typing import Any

from .._core import documents
from .._core.keys import DocumentKeys, document_keys, index_keys
from .._core.units import whole
from ..errors import SessionsError
from ..models.pages import Page
from .calls import Calls

_REMEMBERED = 10_000  # categories that a process knows to be noted


class Categories:
    """Which categories hold documents. The index of them is a hint: made before the documents, checked when it is listed."""

    def __init__(self, calls: Calls, namespace: str) -> None:
        self._calls = calls
        self._namespace = namespace
        self._index = index_keys(namespace, "documents")
        self._noted: dict[str, float] = {}

    def of(self, category: str) -> DocumentKeys:
        """The keys of a category; refuses a bad one."""
        return document_keys(self._namespace, category)

    async def prepare(self, category: str) -> None:
        """Before a document is written: its category is known to whoever lists categories."""
        if time.monotonic() - self._noted.get(category, -documents.NOTED) < documents.NOTED:
            return
        await self._calls.run(documents.note(self._index, category))
        if len(self._noted) >= _REMEMBERED:
            self._noted.pop(next(iter(self._noted)), None)
        self._noted[category] = time.monotonic()

    async def page(self, limit: int, cursor: str | None) -> Page[str]:
        """Those that hold documents; those that do not leave the index, unless somebody may be about to write them."""
        whole(limit, "limit", least=1, most=documents.MOST_LISTED)
        names = await self._calls.run(documents.noted(self._index, cursor))
        there: list[str] = []
        while names and len(there) <= limit:
            some, names = names[: limit + 1], names[limit + 1 :]
            found = await self._calls.run_many([documents.holds_any(self.of(name)) for name in some])
            for answer in found:
                if isinstance(answer, SessionsError):
                    raise answer
            there += [name for name, answer in zip(some, found, strict=True) if answer]
            gone = [name for name, answer in zip(some, found, strict=True) if not answer]
            if gone:
                await self._calls.run(documents.forget(self._index, gone))
        return documents.first(there, limit)


class AsyncDocuments:
    """The documents of one category, markdown or JSON by name; kept until they are deleted. Each call is one round trip.

    A name can have both forms: they are apart, but for `list` and `delete`. A name is 1 to 256 printable characters without
    `/`, backslash, `..` and braces; InvalidInput names another before anything is sent.
    """

    def __init__(self, calls: Calls, categories: Categories, keys: DocumentKeys, most: int) -> None:
        self._calls = calls
        self._categories = categories
        self._keys = keys
        self._most = most
        self.category = keys.id

    async def put(self, name: str, text: str) -> None:
        """Stores a text, in place of the one that is there: readers see the old or the new one.

        One more round trip when this process has not written the category within the hour. Raises InvalidInput, also when
        it has more than `max_document_bytes` bytes of UTF-8.
        """
        call = documents.put(self._keys, name, text, self._most)
        await self._categories.prepare(self.category)
        await self._calls.run(call)

    async def put_json(self, name: str, value: Any) -> None:
        """Stores a JSON value; see `put`."""
        call = documents.put_json(self._keys, name, value, self._most)
        await self._categories.prepare(self.category)
        await self._calls.run(call)

    async def get(self, name: str) -> str | None:
        """The text of a name, or None. Raises InvalidState when what is stored is no UTF-8."""
        return await self._calls.run(documents.get(self._keys, name))

    async def get_json(self, name: str, default: Any = None) -> Any:
        """The JSON value of a name; `default` when there is none. Raises InvalidState when what is stored is no JSON."""
        return await self._calls.run(documents.get_json(self._keys, name, default))

    async def list(self, limit: int = 50, cursor: str | None = None) -> Page[str]:
        """Names, ascending, each once whatever forms it has; the cursor is the last of the page. Reads all names for it."""
        return await self._calls.run(documents.listed(self._keys, limit, cursor))

    async def delete(self, name: str) -> bool:
        """Deletes the JSON form of a name, or, where there is none, the text; says whether there was one.

        It is never repeated blindly: OutcomeUnknown when the connection broke before the answer.
        """
        return await self._calls.run(documents.delete(self._keys, name))
