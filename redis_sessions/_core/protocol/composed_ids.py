"""Session IDs that are made of parts, such as the names by which another system knows a conversation."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from ...errors import InvalidInput

_PLAIN = re.compile(r"[A-Za-z0-9._@+-]+")
_MAX_LENGTH = 256


def compose_id(*parts: str) -> str:
    """Return the session ID of some parts. Other parts have another ID, and every version of Python makes the same.

    The parts are joined by '/'. A part of ASCII letters, digits and any of `. _ @ + -` stays readable. Any other part, an empty
    one too, becomes '=' and the base64url of its UTF-8.

    Args:
        *parts: one or more texts of any characters.

    Raises:
        InvalidInput: there is no part, a part is not text, or the ID would have more than 256 characters.
    """
    if not parts:
        raise InvalidInput(name="parts", detail="must be one or more, got none")
    composed = "/".join(_encode(part) for part in parts)
    if len(composed) > _MAX_LENGTH:
        detail = f"make an ID of {len(composed)} characters, and an ID has at most {_MAX_LENGTH}"
        raise InvalidInput(name="parts", detail=detail)
    return composed


def split_id(id: str) -> tuple[str, ...]:
    """Return the parts of an ID that `compose_id` made. Raises InvalidInput for any other ID."""
    try:
        parts = tuple(_decode(word) for word in id.split("/"))
        is_composed = compose_id(*parts) == id
    except (AttributeError, TypeError, ValueError, InvalidInput):  # the first two for an ID that is not text
        is_composed = False
    if not is_composed:
        raise InvalidInput(name="id", detail=f"must be an ID of compose_id, got {id!r}")
    return parts


def _encode(part: str) -> str:
    if not isinstance(part, str):
        raise InvalidInput(name="parts", detail=f"must be text, got {part!r}")
    if _PLAIN.fullmatch(part):
        return part
    return "=" + urlsafe_b64encode(part.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def _decode(word: str) -> str:
    if not word.startswith("="):
        return word
    text = word[1:]
    return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("utf-8", "surrogatepass")
