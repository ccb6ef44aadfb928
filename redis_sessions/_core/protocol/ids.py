"""IDs: check those that callers give, and make new ones."""

from __future__ import annotations

import itertools
import re
import secrets
from binascii import b2a_base64
from hashlib import sha256
from os import urandom

from ...errors import InvalidInput

GLOB_CHARACTERS = set("*?[]\\")
_COUNTER_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
_COUNTER_TEXTS = [high + low for high in _COUNTER_DIGITS for low in _COUNTER_DIGITS]
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_RESERVED_ID = re.compile(r"agent:[^:]+:(main$|subagent:)")
_INCARNATION = re.compile(r"[0-9a-f]{12}")
_MADE_ID = re.compile(r"~(?:[A-Za-z0-9_-]{10}|[0-9a-f]{31})")


def check_id(text: str, name: str = "id", max_length: int = 256) -> str:
    """Return an ID of 1 to `max_length` printable characters without white space and braces. Raises InvalidInput."""
    if not isinstance(text, str) or not 1 <= len(text) <= max_length:
        raise InvalidInput(name=name, detail=f"must be text of 1 to {max_length} characters, got {_short(text)}")
    if not text.isprintable() or " " in text or "{" in text or "}" in text:
        raise InvalidInput(
            name=name, detail=f"must not contain white space, braces or control characters, got {_short(text)}"
        )
    return text


def check_namespace(text: str) -> str:
    """Return a namespace: an ID of at most 64 characters without glob characters and ':documents'. Raises InvalidInput."""
    check_id(text, "namespace", 64)
    if GLOB_CHARACTERS & set(text):
        raise InvalidInput(name="namespace", detail=f"must not contain any of * ? [ ] \\, got {text!r}")
    if ":documents:" in f"{text}:":  # its keys would be those of another namespace's documents
        raise InvalidInput(name="namespace", detail=f"must not contain ':documents', got {text!r}")
    return text


def check_category(text: str, name: str = "category") -> str:
    """Return a category of documents, such as `notes` or `notes/2026`. Raises InvalidInput for a path that could escape."""
    _check_path_part(text, name)
    if text.startswith("/") or text.endswith("/") or "//" in text:
        raise InvalidInput(name=name, detail=f"must not start or end with '/', or contain '//', got {_short(text)}")
    return text


def check_document(text: str, name: str = "name") -> str:
    """Return the name of a document. Raises InvalidInput for a path that could escape."""
    _check_path_part(text, name)
    if "/" in text:
        raise InvalidInput(name=name, detail=f"must not contain '/', got {_short(text)}")
    return text


def _check_path_part(text: str, name: str) -> None:
    if not isinstance(text, str) or not 1 <= len(text) <= 256:
        raise InvalidInput(name=name, detail=f"must be text of 1 to 256 characters, got {_short(text)}")
    if ".." in text or "\\" in text:
        raise InvalidInput(name=name, detail=f"must not contain '..' or a backslash, got {_short(text)}")
    if not text.isprintable() or "{" in text or "}" in text:
        raise InvalidInput(name=name, detail=f"must not contain braces or control characters, got {_short(text)}")


def new_id(tag: str | None = None, seed: str | None = None) -> str:
    """Return a version-8 UUID (RFC 9562).

    Args:
        tag: 8 hex digits that the UUID begins with, so that it has this hash tag. Default: random.
        seed: the same seed gives the same UUID. Default: random.
    """
    random = secrets.token_hex(16) if seed is None else sha256(seed.encode()).hexdigest()[:32]
    text = (tag or random[:8]) + random[8:]
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-{'89ab'[int(text[16], 16) % 4]}{text[17:20]}-{text[20:]}"


def new_or_given_id(id: str | None) -> str:
    """Return a new ID, or the one that a caller gave for its session.

    Raises InvalidInput for the ID of a main session or of a spawned one, because a caller could else create it before.
    """
    if id is None:
        return new_id()
    if _RESERVED_ID.match(check_id(id)):
        detail = f"is reserved for the sessions that main_session() and spawn() make, got {_short(id)}"
        raise InvalidInput(name="id", detail=detail)
    return id


def new_incarnation() -> str:
    """Return the ID of one incarnation of a session: 48 random bits as 12 hex digits."""
    return secrets.token_hex(6)


def is_incarnation(text: object) -> bool:
    """Return whether this is the ID of an incarnation."""
    return isinstance(text, str) and _INCARNATION.fullmatch(text) is not None


_count = itertools.count()


def new_operation_id() -> str:
    """Return an ID that cannot be guessed: '~', 48 random bits, and two digits of a counter. It is stored with every message.

    The counter keeps the marks of one process apart, see `recent_mark.lua`.
    """
    random = b2a_base64(urandom(6), newline=False).translate(_URL_SAFE).decode()
    return f"~{random}{_COUNTER_TEXTS[next(_count) % 4096]}"


def operation_id_of(batch_id: str | None) -> str:
    """Return a new operation ID, or the one that a caller gave. Raises InvalidInput.

    A caller's ID begins with another character than '~', so that it is never that of an operation of the library. A caller may
    repeat an operation under an ID that the library made, and that an error or a result told.
    """
    if batch_id is None:
        return new_operation_id()
    check_id(batch_id, "batch_id", 128)
    if batch_id[0] == "~" and not _MADE_ID.fullmatch(batch_id):
        detail = (
            f"must not begin with '~', which is reserved for the IDs that the library makes, got {_short(batch_id)}"
        )
        raise InvalidInput(name="batch_id", detail=detail)
    return batch_id


def _short(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 80 else f"{shown[:60]}… ({len(shown)} characters)"
