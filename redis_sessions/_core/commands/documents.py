"""Calls that store, read, list and delete documents: text, JSON and bytes by category and name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..._arguments import mapping
from ..._durations import moment, whole
from ...bounds import StorageBounds
from ...errors import InvalidInput, InvalidState
from ...models.documents import Document, DocumentForm
from ...models.pages import Page
from ..protocol.call import Argument, Call, invoke
from ..protocol.chain import Chain
from ..protocol.encoding import decoded_document, encoded_document
from ..protocol.ids import check_document
from ..protocol.json_values import from_json, to_json
from ..protocol.keys import DocumentKeys, IndexKeys
from ..protocol.scripts import script
from .session_fields import checked_text

JSON = ".json"
TEXT = ".md"
BYTES = ".bin"
FORMS: dict[str, DocumentForm] = {JSON: "json", TEXT: "text", BYTES: "bytes"}
"""The forms of a document by their extensions, in the order in which a name has them."""
MAX_PAGE_NAMES = 1000
MAX_CALL_BYTES = 1024 * 1024
"""Bytes of documents that one call carries. A single document may be larger."""
REGISTERED_SECONDS = 3600.0
"""The time for which a process relies on its registration of a category."""
_GRACE_MS = round(2 * REGISTERED_SECONDS * 1000)  # longer than a process writes without registering again
TIMES = "\n"
LIFE = "\r"
"""The ends of the names of the fields that hold the times of a document, and its expiry."""
MAX_PAGE_CATEGORIES = 100_000
_MAX_SCANNED = 10_000
"""Categories that one call compares with a prefix."""
_GLOB = re.compile(r"[*?\[\]^\\]")
MAX_CALL_NAMES = 500
"""Documents that one call stores or deletes."""
HOLDS_MORE = 2
"""The reply for a category of which many documents had expired: ask again."""


class Stored(NamedTuple):
    """A document as it is stored: its bytes, and '<created> <updated> <expires> <ttl>' in ms."""

    data: bytes
    times: bytes


class Listing(NamedTuple):
    """The documents of a category."""

    fields: list[str]
    expiring: list[str]
    """The fields of the documents with a ttl."""


def put(
    keys: DocumentKeys,
    name: str,
    text: str,
    max_bytes: int,
    bounds: StorageBounds,
    chain: Chain | None,
    ttl_ms: int = 0,
) -> Call[None]:
    """Store a text. Raises InvalidInput."""
    field = check_document(name) + TEXT
    return _put_one(keys, field, checked_text(text, "text").encode(), max_bytes, bounds, chain, ttl_ms)


def put_json(
    keys: DocumentKeys,
    name: str,
    value: Any,
    max_bytes: int,
    bounds: StorageBounds,
    chain: Chain | None,
    ttl_ms: int = 0,
) -> Call[None]:
    """Store a JSON value. Raises InvalidInput."""
    field = check_document(name) + JSON
    return _put_one(keys, field, to_json(value, "value").encode(), max_bytes, bounds, chain, ttl_ms)


def put_bytes(
    keys: DocumentKeys,
    name: str,
    data: bytes,
    max_bytes: int,
    bounds: StorageBounds,
    chain: Chain | None,
    ttl_ms: int = 0,
) -> Call[None]:
    """Store bytes. Raises InvalidInput."""
    if not isinstance(data, bytes):
        raise InvalidInput(name="data", detail=f"must be bytes, got {type(data).__name__}")
    return _put_one(keys, check_document(name) + BYTES, data, max_bytes, bounds, chain, ttl_ms)


def put_many(
    keys: DocumentKeys,
    values: Mapping[str, Any],
    max_bytes: int,
    bounds: StorageBounds,
    chain: Chain | None,
    ttl_ms: int,
) -> list[Call[None]]:
    """Return the calls that store documents, each of about 1 MB. Raises InvalidInput.

    A str is stored as text, bytes as bytes, and any other value as JSON.
    """
    parts: list[list[Argument]] = [[]]
    size = 0
    for name, value in mapping(values, "values").items():
        field, data = _encoded_value(name, value)
        stored = _checked(keys, field, data, max_bytes, chain)
        if parts[-1] and (size + len(stored) > MAX_CALL_BYTES or len(parts[-1]) >= 3 * MAX_CALL_NAMES):
            parts.append([])
            size = 0
        parts[-1] += [field, stored, ttl_ms]
        size += len(stored)
    return [_put_call(keys, bounds, part) for part in parts if part]


def _encoded_value(name: str, value: Any) -> tuple[str, bytes]:
    if isinstance(value, bytes):
        return check_document(name) + BYTES, value
    if isinstance(value, str):
        return check_document(name) + TEXT, checked_text(value, "text").encode()
    return check_document(name) + JSON, to_json(value, "value").encode()


def _put_one(
    keys: DocumentKeys, field: str, data: bytes, max_bytes: int, bounds: StorageBounds, chain: Chain | None, ttl_ms: int
) -> Call[None]:
    return _put_call(keys, bounds, [field, _checked(keys, field, data, max_bytes, chain), ttl_ms])


def _checked(keys: DocumentKeys, field: str, data: bytes, max_bytes: int, chain: Chain | None) -> bytes:
    """Return a document as it is stored. Raises InvalidInput for one that is too large."""
    if len(data) > max_bytes:
        raise InvalidInput(
            name=field, detail=f"must have at most {max_bytes} bytes (max_document_bytes), got {len(data)}"
        )
    return encoded_document(chain, keys.id, field, data)


def _put_call(keys: DocumentKeys, bounds: StorageBounds, values: Sequence[Argument]) -> Call[None]:
    return invoke(
        script("documents/put"), keys, lambda reply: None, max_documents=bounds.documents, expiring=0, rest=values
    )


def checked_field(name: str, extension: str) -> str:
    """Return the field of a document. Raises InvalidInput."""
    return check_document(name) + extension


def fields_of(names: Iterable[str]) -> list[str]:
    """Return the fields that documents with some names can have. Raises InvalidInput."""
    return [name + extension for name in checked_names(names) for extension in FORMS]


def checked_names(names: Iterable[str]) -> list[str]:
    """Return the names of documents, each once. Raises InvalidInput, also for a text, whose letters would be names."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InvalidInput(name="names", detail=f"must be a list of names, got {names!r}")
    return [check_document(name) for name in dict.fromkeys(names)]


def read(keys: DocumentKeys, fields: Sequence[str], *, touch: bool = False) -> Call[list[Stored | None]]:
    """Read documents as they are stored. The result may be shorter than the fields.

    Args:
        fields: names with extensions.
        touch: let each document with a ttl live for it from now.
    """
    return invoke(
        script("documents/read"), keys, lambda reply: [None if one is None else Stored(*one) for one in reply],
        writes=touch, touch="1" if touch else "0", max_bytes=MAX_CALL_BYTES, rest=fields[:MAX_PAGE_NAMES],
    )  # fmt: skip


def value_of(keys: DocumentKeys, field: str, stored: Stored, chain: Chain | None) -> Any:
    """Return the value of a stored document. Raises InvalidState when the stored bytes are damaged."""
    try:
        data = decoded_document(chain, keys.id, field, stored.data)
        if field.endswith(JSON):
            return from_json(data)
        return data.decode() if field.endswith(TEXT) else data
    except (ValueError, RecursionError) as problem:
        raise InvalidState(name=field, detail=f"the stored document is damaged: {problem}") from None


def document_of(keys: DocumentKeys, field: str, stored: Stored, chain: Chain | None) -> Document:
    """Return a stored document with its times. Raises InvalidState."""
    name, extension = split_field(field)
    value = value_of(keys, field, stored, chain)
    try:
        created, updated, expires, _ = (int(word) for word in stored.times.split())
    except ValueError as problem:
        raise InvalidState(name=field, detail=f"the stored document is damaged: {problem}") from None
    expires_at = moment(expires) if expires else None
    return Document(name, FORMS[extension], value, moment(created), moment(updated), expires_at)


def split_field(field: str) -> tuple[str, str]:
    """Return the name and the extension of a field. The extension is '' for any other field."""
    for extension in FORMS:
        if field.endswith(extension) and len(field) > len(extension):
            return field.removesuffix(extension), extension
    return field, ""


def list_fields(keys: DocumentKeys) -> Call[Listing]:
    """List the documents of a category, sorted by name and form. Sorted here, because scripts sort by the server's locale.

    Some of those with a ttl may have expired: see `expire`.
    """

    def read(reply: list[bytes]) -> Listing:
        names = [field.decode(errors="replace") for field in reply]
        fields = (field for field in names if not field.endswith((TIMES, LIFE)) and split_field(field)[1])
        return Listing(sorted(fields, key=split_field), [name[:-1] for name in names if name.endswith(LIFE)])

    return Call(("HKEYS", keys.documents), keys, read, writes=False)


def expire(keys: DocumentKeys, fields: Sequence[str]) -> Call[list[str]]:
    """Remove those documents that have expired. The result is their fields."""
    return invoke(
        script("documents/expire"), keys, lambda reply: [one.decode(errors="replace") for one in reply], writes=False,
        rest=fields[:MAX_PAGE_NAMES],
    )  # fmt: skip


def page_of(fields: Sequence[str], limit: int, cursor: str | None) -> Page[str]:
    """Return a page of the names of documents."""
    after = cursor or ""
    names = dict.fromkeys(name for name, _ in map(split_field, fields) if name > after)
    return name_page(list(names), limit)


def check_page(limit: int, cursor: str | None) -> None:
    """Raise InvalidInput for a limit or a cursor that is not valid."""
    whole(limit, "limit", minimum=1, maximum=MAX_PAGE_NAMES)
    if cursor is not None:
        check_document(cursor, "cursor")


def name_page(names: list[str], limit: int) -> Page[str]:
    """Return the first `limit` names. Each name is the cursor of the names behind it."""
    return Page(names[:limit], names[limit - 1] if len(names) > limit else None)


def delete(keys: DocumentKeys, *names: str) -> Call[int]:
    """Delete documents: one form of each name. The result is how many there were."""
    call = invoke(script("documents/delete"), keys, int, rest=checked_names(names))
    call.idempotent = False  # a repeated call could delete the other form, too
    return call


def delete_many(keys: DocumentKeys, names: Iterable[str]) -> list[Call[int]]:
    """Delete documents, as `delete` does, in calls that block a server only shortly."""
    wanted = checked_names(names)
    return [delete(keys, *wanted[first : first + MAX_CALL_NAMES]) for first in range(0, len(wanted), MAX_CALL_NAMES)]


def delete_all(keys: DocumentKeys) -> Call[int]:
    """Delete a category with all its documents. The result is 1 if the category held any."""
    return Call(("DEL", keys.documents), keys, int)


def leave_index(index: IndexKeys, category: str) -> Call[int]:
    """Take a category out of the index at once, although other processes rely on its registration for an hour."""
    return Call(("ZREM", index.ids, category), index, int)


def register_category(index: IndexKeys, category: str, bounds: StorageBounds) -> Call[None]:
    """Register a category that is about to hold documents."""
    return invoke(
        script("documents/register_category"), index, lambda reply: None, category=category,
        max_categories=bounds.categories,
    )  # fmt: skip


def registered_categories(index: IndexKeys) -> Call[list[str]]:
    """Read all registered categories, ascending. They hold, or held, documents."""
    return Call(
        ("ZRANGE", index.ids, 0, -1), index, lambda reply: sorted(one.decode() for one in reply), writes=False
    )  # fmt: skip


def scan_categories(index: IndexKeys, place: str, prefix: str) -> Call[tuple[str, list[str]]]:
    """Read which of the next registered categories begin with a prefix. Also return the next place, '0' behind the last one."""
    pattern = _GLOB.sub(r"\\\g<0>", prefix) + "*"

    def read(reply: Any) -> tuple[str, list[str]]:
        return reply[0].decode(), [one.decode() for one in reply[1][::2]]

    return Call(
        ("ZSCAN", index.ids, place, "MATCH", pattern, "COUNT", _MAX_SCANNED), index, read, writes=False
    )  # fmt: skip


def holds_any(keys: DocumentKeys) -> Call[int]:
    """Read whether a category holds documents: 1 or 0, or `HOLDS_MORE`."""
    return invoke(script("documents/holds_any"), keys, int, writes=False)


def remove_categories(index: IndexKeys, categories: Sequence[str]) -> Call[None]:
    """Remove categories that hold no documents from the index."""
    return invoke(script("documents/remove_categories"), index, lambda reply: None, grace_ms=_GRACE_MS, rest=categories)


def found_documents(keys: DocumentKeys, stored: Mapping[str, Stored], chain: Chain | None) -> dict[str, Document]:
    """Return the documents of names: of each name the JSON form if there is one, else the text, else the bytes."""
    found: dict[str, Document] = {}
    for field in sorted(stored, key=lambda field: list(FORMS).index(split_field(field)[1])):
        name = split_field(field)[0]
        if name not in found:
            found[name] = document_of(keys, field, stored[field], chain)
    return found
