# Generated from _async/api/documents.py by tools/mirror.py; edit that file.
"""Documents: text, JSON and bytes by category and name. A document stays until it is deleted, or for its ttl."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, overload

from ..._core.commands import documents
from ..._core.commands.documents import Stored
from ..._core.protocol.call import Call
from ..._core.protocol.chain import Chain
from ..._core.protocol.keys import DocumentKeys
from ..._durations import Duration, milliseconds
from ..._pickling import NotPicklable
from ...bounds import StorageBounds
from ...errors import BoundExceeded, InvalidInput, SessionsError
from ...models.documents import Document
from ...models.pages import Page
from ..services.context import CacheContext
from ..services.document_categories import live_fields, put_within_bound
from ..transport.blob_files import FileMissing
from .session_state import validated

T = TypeVar("T")


class Documents(NotPicklable):
    """The documents of one category, as text, JSON or bytes by name.

    A name is 1 to 256 printable characters without '/', backslash, '..' and braces. A name can have three forms: text, JSON and
    bytes. Only the methods for many documents, `list` and `delete` treat the forms together. An expired document is missing for
    all of them. A method is one round trip unless its `Cost` says otherwise, and raises InvalidInput for a bad name.
    """

    _instead = "send its `category`, and call `documents(category)` of a cache there"

    def __init__(self, context: CacheContext, keys: DocumentKeys, max_bytes: int) -> None:
        self._context = context
        self._keys = keys
        self._max_bytes = max_bytes
        self.category = keys.id
        """The category."""

    def put(self, name: str, text: str, *, ttl: Duration | None = None) -> None:
        """Store a text in place of the present one. Readers see the old or the new text.

        Args:
            name: the name.
            text: the text.
            ttl: the time after which the document expires. Default: never.

        Raises:
            InvalidInput: an argument is not valid, or the text has more than `max_document_bytes` bytes of UTF-8.
            BoundExceeded: the category has `documents` documents already, or the namespace `categories` categories that hold
                documents or held some within the hour.

        Cost: one round trip. Two when this process did not write the category within the hour.
        """
        self._put(documents.put(self._keys, name, text, *self._limits, _ttl_ms(ttl)))

    def put_json(self, name: str, value: Any, *, ttl: Duration | None = None) -> None:
        """Store a JSON value, or a pydantic model as JSON. See `put`."""
        self._put(documents.put_json(self._keys, name, value, *self._limits, _ttl_ms(ttl)))

    def put_bytes(self, name: str, data: bytes, *, ttl: Duration | None = None) -> None:
        """Store bytes. See `put`."""
        self._put(documents.put_bytes(self._keys, name, data, *self._limits, _ttl_ms(ttl)))

    def put_many(self, values: Mapping[str, Any], *, ttl: Duration | None = None) -> None:
        """Store documents by name: a str as text, bytes as bytes, and any other value as JSON.

        Args:
            values: the values by name.
            ttl: the time after which the documents expire. Default: never.

        Cost: one round trip for each 1 MB, each of them atomic. One more when this process did not write the category within the
        hour.
        """
        put_documents(self._context, {self._keys: values}, self._max_bytes, ttl)

    def get(self, name: str) -> str | None:
        """Return the text of a name, or None. Raises InvalidState when the stored bytes are not UTF-8."""
        found: str | None = self._get(name, documents.TEXT, None)
        return found

    @overload
    def get_json(self, name: str, default: None = None, *, type: type[T]) -> T | None: ...

    @overload
    def get_json(self, name: str, default: T, *, type: type[T]) -> T: ...

    @overload
    def get_json(self, name: str, default: Any = None) -> Any: ...

    def get_json(self, name: str, default: Any = None, *, type: type[T] | None = None) -> Any:
        """Return the JSON value of a name, or the default when there is none.

        Args:
            name: the document.
            default: returned when the document does not exist.
            type: a pydantic model or any other type. The value is returned as that type.

        Raises:
            InvalidState: the stored bytes are not JSON, or the value does not fit the type.
        """
        missing = object()
        value = self._get(name, documents.JSON, missing)
        return default if value is missing else validated(value, type, name)

    def get_bytes(self, name: str) -> bytes | None:
        """Return the bytes of a name, or None."""
        found: bytes | None = self._get(name, documents.BYTES, None)
        return found

    def get_many(self, names: Collection[str], *, touch: bool = False) -> dict[str, Document]:
        """Return documents with their times, by name. Of each name the JSON form if there is one, else the text, else the bytes.

        Args:
            names: the names. One without a document is left out.
            touch: let each document with a ttl live for it from now.

        Raises:
            InvalidState: the stored bytes of a document are damaged.

        Cost: one round trip, and one more for each 1 MB.
        """
        return (get_documents(self._context, {self._keys: names}, touch))[self.category]

    def all(self, prefix: str = "") -> Iterator[Document]:
        """Yield the documents whose name begins with a text, by name and form, with their times.

        Cost: one round trip that reads all names, one for each 1,000 documents with a ttl, and one for each 1 MB or 1,000
        documents. Not one moment: a document that is stored in the meantime may be left out.
        """
        if not isinstance(prefix, str):
            raise InvalidInput(name="prefix", detail=f"must be text, got {prefix!r}")
        listed, _ = live_fields(self._context.executor, self._keys)
        fields = [
            field for field in listed if field.startswith(prefix) and documents.split_field(field)[0].startswith(prefix)
        ]
        while fields:
            found = self._context.executor.run(documents.read(self._keys, fields))
            for field, stored in zip(fields, found, strict=False):
                document = _decoded(self._context, self._keys, field, stored, documents.document_of, None)
                if document is not None:
                    yield document
            fields = fields[len(found) :]

    def list(self, limit: int = 50, cursor: str | None = None) -> Page[str]:
        """Return a page of names, ascending. A name with several forms is listed once.

        Args:
            limit: names of the page, 1 to 1,000.
            cursor: the cursor of the page before.

        Cost: one round trip that reads all names of the category.
        """
        documents.check_page(limit, cursor)
        fields, _ = live_fields(self._context.executor, self._keys)
        return documents.page_of(fields, limit, cursor)

    def delete(self, name: str) -> bool:
        """Delete the JSON form of a name, else the text, else the bytes. Return whether there was one.

        The call is not retried, because a second call could delete another form. Raises OutcomeUnknown when the connection
        broke before the answer.
        """
        return self._context.executor.run(documents.delete(self._keys, name)) > 0

    def delete_many(self, names: Collection[str]) -> int:
        """Delete one form of each name, as `delete` does. Return how many documents there were.

        Cost: one round trip. Atomic for each 500 names.
        """
        return delete_documents(self._context, {self._keys: names})

    @property
    def _limits(self) -> tuple[int, StorageBounds, Chain | None]:
        return self._max_bytes, self._context.bounds, self._context.chain

    def _put(self, call: Call[None]) -> None:
        self._context.categories.register(self.category)
        try:
            self._context.executor.run(call)
        except BoundExceeded:
            put_within_bound(self._context.executor, [call])

    def _get(self, name: str, extension: str, default: Any) -> Any:
        field = documents.checked_field(name, extension)
        (stored,) = self._context.executor.run(documents.read(self._keys, [field]))
        return _decoded(self._context, self._keys, field, stored, documents.value_of, default)


def put_documents(
    context: CacheContext, values: Mapping[DocumentKeys, Mapping[str, Any]], max_bytes: int, ttl: Duration | None
) -> None:
    """Store documents in some categories. One round trip to each node for each 1 MB of a category."""
    ttl_ms = _ttl_ms(ttl)
    calls = [
        call
        for keys, given in values.items()
        for call in documents.put_many(keys, given, max_bytes, context.bounds, context.chain, ttl_ms)
    ]
    context.categories.register(*dict.fromkeys(call.keys.id for call in calls))
    results = context.executor.run_many(calls)
    refused = [call for call, result in zip(calls, results, strict=True) if isinstance(result, BoundExceeded)]
    for result in results:
        if isinstance(result, SessionsError) and not isinstance(result, BoundExceeded):
            raise result
    put_within_bound(context.executor, refused)


def get_documents(
    context: CacheContext, names: Mapping[DocumentKeys, Collection[str]], touch: bool, left: int = 2
) -> dict[str, dict[str, Document]]:
    """Return documents of some categories, by category and name. One round trip to each node, and more for each 1 MB.

    They are read again, `left` times, while a file is missing: see `_decoded`.
    """
    unread = {keys: documents.fields_of(given) for keys, given in names.items()}
    stored: dict[DocumentKeys, dict[str, Stored]] = {keys: {} for keys in names}
    while unread := {keys: fields for keys, fields in unread.items() if fields}:
        replies = context.executor.get_many([documents.read(keys, unread[keys], touch=touch) for keys in unread])
        for (keys, fields), reply in zip(list(unread.items()), replies, strict=True):
            stored[keys] |= {field: one for field, one in zip(fields, reply, strict=False) if one is not None}
            unread[keys] = fields[len(reply) :]
    found = {}
    for keys in names:
        read = partial(documents.found_documents, keys, stored[keys], context.chain)
        data = [one.data for one in stored[keys].values()]
        try:
            found[keys.id] = context.executor.decode(read, data, can_read_again=left > 0)
        except FileMissing:
            return get_documents(context, names, touch, left - 1)
    return found


def all_documents(context: CacheContext, keys: Collection[DocumentKeys]) -> dict[str, list[Document]]:
    """Return all documents of some categories. Two round trips to each node, and more for each 1 MB of a category."""
    lists = context.executor.get_many([documents.list_fields(one) for one in keys])
    left = {one: listing.fields for one, listing in zip(keys, lists, strict=True)}
    found: dict[str, list[Document]] = {one.id: [] for one in keys}
    while left := {one: fields for one, fields in left.items() if fields}:
        replies = context.executor.get_many([documents.read(one, fields) for one, fields in left.items()])
        for (one, fields), reply in zip(list(left.items()), replies, strict=True):
            for field, stored in zip(fields, reply, strict=False):
                document = _decoded(context, one, field, stored, documents.document_of, None)
                if document is not None:
                    found[one.id].append(document)
            left[one] = fields[len(reply) :]
    return found


def delete_documents(context: CacheContext, names: Mapping[DocumentKeys, Collection[str]]) -> int:
    """Delete documents of some categories. Return how many there were. One round trip to each node."""
    calls = [call for keys, given in names.items() for call in documents.delete_many(keys, given)]
    return sum(context.executor.get_many(calls))


def _decoded(
    context: CacheContext, keys: DocumentKeys, field: str, stored: Stored | None, read: Callable[..., Any], default: Any
) -> Any:
    """Return a stored document, or the default if there is none.

    The document is read again if its file is missing, because it may have been replaced since, and a sweep may have removed the
    file.
    """
    for left in (2, 1, 0):
        if stored is None:
            break
        with suppress(FileMissing):
            decode = partial(read, keys, field, stored, context.chain)
            return context.executor.decode(decode, stored.data, can_read_again=left > 0)
        (stored,) = context.executor.run(documents.read(keys, [field]))
    return default


def _ttl_ms(ttl: Duration | None) -> int:
    return 0 if ttl is None else milliseconds(ttl, "ttl")
