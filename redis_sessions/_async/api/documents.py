"""Documents: text and JSON by category and name. They stay until they are deleted."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from ..._core.commands import documents
from ..._core.protocol.keys import DocumentKeys
from ..._pickling import NotPicklable
from ...models.pages import Page
from ..services.context import CacheContext
from .session_state import validated

T = TypeVar("T")


class AsyncDocuments(NotPicklable):
    """The documents of one category, as markdown or JSON by name.

    A name is 1 to 256 printable characters without '/', backslash, '..' and braces. One name can have both forms: only `list`
    and `delete` treat them together. Each method is one round trip and raises InvalidInput for a bad name.
    """

    _instead = "send its `category`, and call `documents(category)` of a cache there"

    def __init__(self, context: CacheContext, keys: DocumentKeys, max_bytes: int) -> None:
        self._context = context
        self._keys = keys
        self._max_bytes = max_bytes
        self.category = keys.id
        """The category."""

    async def put(self, name: str, text: str) -> None:
        """Store a text. It replaces the present one: readers see the old or the new text.

        Raises InvalidInput when it has more than `max_document_bytes` bytes of UTF-8. Raises BoundExceeded when the category has
        `documents` documents already, or the namespace `categories` categories that hold documents or held some within the hour.

        Cost: one round trip. Two when this process did not write the category within the hour.
        """
        call = documents.put(self._keys, name, text, self._max_bytes, self._context.bounds, self._context.chain)
        await self._context.categories.register(self.category)
        await self._context.executor.run(call)

    async def put_json(self, name: str, value: Any) -> None:
        """Store a JSON value, or a pydantic model as JSON. See `put`."""
        call = documents.put_json(self._keys, name, value, self._max_bytes, self._context.bounds, self._context.chain)
        await self._context.categories.register(self.category)
        await self._context.executor.run(call)

    async def get(self, name: str) -> str | None:
        """Return the text of a name, or None. Raises InvalidState when the stored bytes are not UTF-8."""
        return await self._context.executor.run(documents.get(self._keys, name, self._context.chain))

    @overload
    async def get_json(self, name: str, default: None = None, *, type: type[T]) -> T | None: ...

    @overload
    async def get_json(self, name: str, default: T, *, type: type[T]) -> T: ...

    @overload
    async def get_json(self, name: str, default: Any = None) -> Any: ...

    async def get_json(self, name: str, default: Any = None, *, type: type[T] | None = None) -> Any:
        """Return the JSON value of a name, or the default when there is none.

        Args:
            name: the document.
            default: returned when the document does not exist.
            type: a pydantic model or any other type. The value is returned as that type.

        Raises:
            InvalidState: the stored bytes are not JSON, or the value does not fit the type.
        """
        missing = object()
        value = await self._context.executor.run(documents.get_json(self._keys, name, missing, self._context.chain))
        return default if value is missing else validated(value, type, name)

    async def list(self, limit: int = 50, cursor: str | None = None) -> Page[str]:
        """Return a page of names, ascending. A name with two forms is listed once.

        Args:
            limit: names of the page, 1 to 1,000.
            cursor: the cursor of the page before.

        Cost: one round trip that reads all names of the category.
        """
        return await self._context.executor.run(documents.list_page(self._keys, limit, cursor))

    async def delete(self, name: str) -> bool:
        """Delete the JSON form of a name, or the text if it has no JSON form. Return whether there was one.

        The call is not retried, because a second call could delete the other form. Raises OutcomeUnknown when the connection
        broke before the answer.
        """
        return await self._context.executor.run(documents.delete(self._keys, name))
