"""Names of Strands in the form in which they are stored."""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import quote

from .._shared import id_of, text_of


def session_id_of(session_id: str, name: str = "session_id") -> str:
    """Return the ID of the session of a session ID of any characters and any length."""
    return id_of(text_of(session_id, name))


def quoted(key: str) -> str:
    """Return the name of a part for a text of any characters. `unquote` gives the text back."""
    return quote(key, safe="/", errors="surrogatepass")


def digest(text: str) -> str:
    """Return a hash of a text as hex digits."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
