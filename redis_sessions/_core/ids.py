"""Ids: what is allowed in them, and making new ones."""

from __future__ import annotations

import itertools
import os
import secrets
from hashlib import sha256
from uuid import UUID

from ..errors import InvalidInput

GLOB = set("*?[]\\")


def check_id(text: str, name: str = "id", most: int = 256) -> str:
    """The id itself if it is 1 to `most` printable characters without whitespace or braces; else a refusal."""
    if not isinstance(text, str) or not 1 <= len(text) <= most:
        raise InvalidInput(name=name, detail=f"{_short(text)} must be text of 1 to {most} characters")
    if not text.isprintable() or " " in text or "{" in text or "}" in text:
        raise InvalidInput(name=name, detail=f"{_short(text)} may not contain whitespace, braces or control characters")
    return text


def check_namespace(text: str) -> str:
    """Like an id, at most 64 characters, without glob characters and `:documents`."""
    check_id(text, "namespace", 64)
    if GLOB & set(text):
        raise InvalidInput(name="namespace", detail=f"{text!r} may not contain any of * ? [ ] \\")
    if ":documents:" in f"{text}:":  # its keys would be those of another namespace's documents
        raise InvalidInput(name="namespace", detail=f"{text!r} may not contain :documents")
    return text


def check_category(text: str, name: str = "category") -> str:
    """The category of documents itself, `notes` or `notes/2026`, if it cannot mean another place; else a refusal."""
    _check_place(text, name)
    if text.startswith("/") or text.endswith("/") or "//" in text:
        raise InvalidInput(name=name, detail=f"{_short(text)} may not start or end with /, or contain //")
    return text


def check_document(text: str, name: str = "name") -> str:
    """The name of a document itself, if it cannot mean another place; else a refusal."""
    _check_place(text, name)
    if "/" in text:
        raise InvalidInput(name=name, detail=f"{_short(text)} may not contain /")
    return text


def _check_place(text: str, name: str) -> None:
    if not isinstance(text, str) or not 1 <= len(text) <= 256:
        raise InvalidInput(name=name, detail=f"{_short(text)} must be text of 1 to 256 characters")
    if ".." in text or "\\" in text:
        raise InvalidInput(name=name, detail=f"{_short(text)} may not contain .. or a backslash")
    if not text.isprintable() or "{" in text or "}" in text:
        raise InvalidInput(name=name, detail=f"{_short(text)} may not contain braces or control characters")


def new_id(tag: str | None = None, seed: str | None = None) -> str:
    """A version-8 UUID (RFC 9562). With a tag (8 hex digits) it lives beside whatever has that tag.

    Random, or always the same for a seed.
    """
    random = secrets.token_hex(16) if seed is None else sha256(seed.encode()).hexdigest()[:32]
    text = (tag or random[:8]) + random[8:]
    return str(UUID(f"{text[:12]}8{text[13:16]}{'89ab'[int(text[16], 16) % 4]}{text[17:]}"))


def new_life() -> str:
    """The id of one incarnation of a session: 48 random bits."""
    return secrets.token_hex(6)


class OperationIds:
    """Ids for operations, unique in the fleet: 48 random bits a process and a counter."""

    def __init__(self) -> None:
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._prefix = secrets.token_urlsafe(6)
        self._count = itertools.count()

    def __call__(self) -> str:
        return f"{self._prefix}.{next(self._count):x}"


new_operation_id = OperationIds()


def _short(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 80 else f"{shown[:60]}… ({len(shown)} characters)"
