"""Documents: the calls that store, read, list and delete texts and JSON by category and name, and the reading of replies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import InvalidInput, InvalidState
from ..models.pages import Page
from .calls import Call, invoke
from .codec import from_json, to_json
from .descriptions import checked_text
from .ids import check_category, check_document
from .keys import DocumentKeys, IndexKeys
from .scripts import script
from .units import whole

JSON = ".json"
TEXT = ".md"
MOST_LISTED = 1000
NOTED = 3600.0
"""Seconds for which a category that a process noted need not be noted again."""
_LEFT_ALONE_MS = round(2 * NOTED * 1000)  # longer than a process writes without noting the category again


def put(keys: DocumentKeys, name: str, text: str, most: int) -> Call[None]:
    return _put(keys, check_document(name) + TEXT, checked_text(text, "text"), most)


def put_json(keys: DocumentKeys, name: str, value: Any, most: int) -> Call[None]:
    return _put(keys, check_document(name) + JSON, to_json(value, "value"), most)


def _put(keys: DocumentKeys, field: str, text: str, most: int) -> Call[None]:
    data = text.encode()
    if len(data) > most:
        raise InvalidInput(name=field, detail=f"{len(data)} bytes, over the {most} of max_document_bytes")
    return Call(("HSET", keys.documents, field, data), keys, lambda reply: None)


def get(keys: DocumentKeys, name: str) -> Call[str | None]:
    """Reads as None when there is none; raises InvalidState for what is no text."""
    field = check_document(name) + TEXT

    def read(reply: bytes | None) -> str | None:
        try:
            return None if reply is None else reply.decode()
        except UnicodeDecodeError as problem:
            raise InvalidState(name=field, detail=f"the stored document is damaged: {problem}") from None

    return Call(("HGET", keys.documents, field), keys, read, writes=False)


def get_json(keys: DocumentKeys, name: str, default: Any) -> Call[Any]:
    """Reads as the default when there is none; raises InvalidState for what is no JSON."""
    field = check_document(name) + JSON

    def read(reply: bytes | None) -> Any:
        try:
            return default if reply is None else from_json(reply)
        except (ValueError, RecursionError) as problem:
            raise InvalidState(name=field, detail=f"the stored document is damaged: {problem}") from None

    return Call(("HGET", keys.documents, field), keys, read, writes=False)


def listed(keys: DocumentKeys, limit: int, cursor: str | None) -> Call[Page[str]]:
    """Reads as a page of names: sorted here, since scripts sort by the server's locale."""
    whole(limit, "limit", least=1, most=MOST_LISTED)
    after = "" if cursor is None else check_document(cursor, "cursor")

    def read(reply: list[bytes]) -> Page[str]:
        names = {
            field.removesuffix(end).decode() for field in reply for end in (b".json", b".md") if field.endswith(end)
        }
        return first(sorted(name for name in names if name > after), limit)

    return Call(("HKEYS", keys.documents), keys, read, writes=False)


def first(names: list[str], limit: int) -> Page[str]:
    """A page of so many at the most; each name is the cursor of those behind it."""
    return Page(names[:limit], names[limit - 1] if len(names) > limit else None)


def delete(keys: DocumentKeys, name: str) -> Call[bool]:
    """Reads as whether there was one."""
    json, text = check_document(name) + JSON, name + TEXT
    call = invoke(script("documents/delete"), keys, lambda reply: bool(reply), json=json, text=text)
    call.repeatable = False  # blindly repeated, it could delete the other form, too
    return call


def note(index: IndexKeys, category: str) -> Call[None]:
    """Tells the index that a category is about to hold documents."""
    return invoke(script("documents/note"), index, lambda reply: None, category=category)


def noted(index: IndexKeys, cursor: str | None) -> Call[list[str]]:
    """Categories behind the cursor that hold, or held, documents; ascending."""
    after = "" if cursor is None else check_category(cursor, "cursor")

    def read(reply: list[bytes]) -> list[str]:
        return sorted(name for name in (one.decode() for one in reply) if name > after)

    return Call(("ZRANGE", index.ids, 0, -1), index, read, writes=False)


def holds_any(keys: DocumentKeys) -> Call[bool]:
    """Whether a category holds documents."""
    return Call(("EXISTS", keys.documents), keys, lambda reply: reply == 1, writes=False)


def forget(index: IndexKeys, gone: Sequence[str]) -> Call[None]:
    """Takes categories that hold none out of the index."""
    return invoke(script("documents/forget"), index, lambda reply: None, age=_LEFT_ALONE_MS, rest=gone)
