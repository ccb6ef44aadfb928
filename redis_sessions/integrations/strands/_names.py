"""Names of Strands in the form in which they are stored."""

from __future__ import annotations

from hashlib import sha256
from typing import Any
from urllib.parse import quote

from ... import InvalidInput
from .._shared import id_of


def session_id_of(session_id: str) -> str:
    """Return the ID of the session of a session ID of any characters and any length."""
    return id_of(text_of(session_id, "session_id"))


def quoted(key: str) -> str:
    """Return the name of a part for a text of any characters. `unquote` gives the text back."""
    return quote(key, safe="/", errors="surrogatepass")


def text_of(value: Any, name: str) -> str:
    """Return a value that is text. Raises InvalidInput."""
    if not isinstance(value, str):
        raise InvalidInput(name=name, detail=f"must be text, got {value!r}")
    return value


def digest(text: str) -> str:
    """Return a hash of a text as hex digits."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
