"""IDs: check those that callers give, and make new ones."""

from __future__ import annotations

import itertools
import secrets
from functools import lru_cache
from hashlib import sha256
from uuid import UUID

from ..._fork import run_in_child
from ...errors import InvalidInput

GLOB_CHARACTERS = set("*?[]\\")


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
    return str(UUID(f"{text[:12]}8{text[13:16]}{'89ab'[int(text[16], 16) % 4]}{text[17:]}"))


def new_incarnation() -> str:
    """Return the ID of one incarnation of a session: 48 random bits as 12 hex digits."""
    return secrets.token_hex(6)


class OperationIds:
    """Make operation IDs that are unique in the fleet: 48 random bits a process, and a counter."""

    def __init__(self) -> None:
        self._reset()
        run_in_child(self._reset)

    def _reset(self) -> None:
        self._prefix = secrets.token_urlsafe(6)
        self._count = itertools.count()

    def __call__(self) -> str:
        return self._prefix + _counter_text(next(self._count))


_COUNTER_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"


@lru_cache(maxsize=64)
def _leading_digits(number: int) -> str:
    return "" if number == 0 else _leading_digits(number // 64) + _COUNTER_DIGITS[number % 64]


def _counter_text(number: int) -> str:
    """Return a number in base 64. A batch ID is stored with every message, so it must be short."""
    return _leading_digits(number // 64) + _COUNTER_DIGITS[number % 64]


new_operation_id = OperationIds()


def _short(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 80 else f"{shown[:60]}… ({len(shown)} characters)"
