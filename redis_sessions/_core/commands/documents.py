"""Calls that store, read, list and delete documents: text and JSON by category and name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..._durations import whole
from ...bounds import StorageBounds
from ...errors import InvalidInput, InvalidState
from ...models.pages import Page
from ..protocol.call import Call, invoke
from ..protocol.chain import Chain
from ..protocol.encoding import decoded_document, encoded_document
from ..protocol.ids import check_category, check_document
from ..protocol.json_values import from_json, to_json
from ..protocol.keys import DocumentKeys, IndexKeys
from ..protocol.scripts import script
from .session_fields import checked_text

JSON = ".json"
TEXT = ".md"
MAX_PAGE_NAMES = 1000
REGISTERED_SECONDS = 3600.0
"""The time for which a process relies on its registration of a category."""
_GRACE_MS = round(2 * REGISTERED_SECONDS * 1000)  # longer than a process writes without registering again


def put(
    keys: DocumentKeys, name: str, text: str, max_bytes: int, bounds: StorageBounds, chain: Chain | None
) -> Call[None]:
    """Store a text. Raises InvalidInput."""
    return _put(keys, check_document(name) + TEXT, checked_text(text, "text"), max_bytes, bounds, chain)


def put_json(
    keys: DocumentKeys, name: str, value: Any, max_bytes: int, bounds: StorageBounds, chain: Chain | None
) -> Call[None]:
    """Store a JSON value. Raises InvalidInput."""
    return _put(keys, check_document(name) + JSON, to_json(value, "value"), max_bytes, bounds, chain)


def _put(
    keys: DocumentKeys, field: str, text: str, max_bytes: int, bounds: StorageBounds, chain: Chain | None
) -> Call[None]:
    data = text.encode()
    if len(data) > max_bytes:
        raise InvalidInput(
            name=field, detail=f"must have at most {max_bytes} bytes (max_document_bytes), got {len(data)}"
        )
    data = encoded_document(chain, keys.id, field, data)
    return invoke(
        script("documents/put"), keys, lambda reply: None, field=field, data=data, max_documents=bounds.documents
    )


def get(keys: DocumentKeys, name: str, chain: Chain | None) -> Call[str | None]:
    """Read a text, or None. InvalidState when the stored bytes are not UTF-8."""
    field = check_document(name) + TEXT

    def read(reply: bytes | None) -> str | None:
        try:
            return None if reply is None else decoded_document(chain, keys.id, field, reply).decode()
        except ValueError as problem:
            raise InvalidState(name=field, detail=f"the stored document is damaged: {problem}") from None

    return Call(("HGET", keys.documents, field), keys, read, writes=False)


def get_json(keys: DocumentKeys, name: str, default: Any, chain: Chain | None) -> Call[Any]:
    """Read a JSON value, or the default. InvalidState when the stored bytes are not JSON."""
    field = check_document(name) + JSON

    def read(reply: bytes | None) -> Any:
        try:
            return default if reply is None else from_json(decoded_document(chain, keys.id, field, reply))
        except (ValueError, RecursionError) as problem:
            raise InvalidState(name=field, detail=f"the stored document is damaged: {problem}") from None

    return Call(("HGET", keys.documents, field), keys, read, writes=False)


def list_page(keys: DocumentKeys, limit: int, cursor: str | None) -> Call[Page[str]]:
    """Read a page of names. They are sorted here, because scripts sort by the server's locale."""
    whole(limit, "limit", minimum=1, maximum=MAX_PAGE_NAMES)
    after = "" if cursor is None else check_document(cursor, "cursor")

    def read(reply: list[bytes]) -> Page[str]:
        names = {
            field.removesuffix(end).decode() for field in reply for end in (b".json", b".md") if field.endswith(end)
        }
        return name_page(sorted(name for name in names if name > after), limit)

    return Call(("HKEYS", keys.documents), keys, read, writes=False)


def name_page(names: list[str], limit: int) -> Page[str]:
    """Return the first `limit` names. Each name is the cursor of the names behind it."""
    return Page(names[:limit], names[limit - 1] if len(names) > limit else None)


def delete(keys: DocumentKeys, name: str) -> Call[bool]:
    """Delete a document. The result is whether there was one."""
    json, text = check_document(name) + JSON, name + TEXT
    call = invoke(script("documents/delete"), keys, lambda reply: bool(reply), json=json, text=text)
    call.idempotent = False  # a repeated call could delete the other form, too
    return call


def count(keys: DocumentKeys) -> Call[int]:
    """Count the documents of a category."""
    return Call(("HLEN", keys.documents), keys, int, writes=False)


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


def registered_categories(index: IndexKeys, cursor: str | None) -> Call[list[str]]:
    """Read the registered categories behind a cursor, ascending. They hold, or held, documents."""
    after = "" if cursor is None else check_category(cursor, "cursor")

    def read(reply: list[bytes]) -> list[str]:
        return sorted(name for name in (one.decode() for one in reply) if name > after)

    return Call(("ZRANGE", index.ids, 0, -1), index, read, writes=False)


def holds_any(keys: DocumentKeys) -> Call[bool]:
    """Read whether a category holds documents."""
    return Call(("EXISTS", keys.documents), keys, lambda reply: reply == 1, writes=False)


def remove_categories(index: IndexKeys, categories: Sequence[str]) -> Call[None]:
    """Remove categories that hold no documents from the index."""
    return invoke(script("documents/remove_categories"), index, lambda reply: None, grace_ms=_GRACE_MS, rest=categories)
