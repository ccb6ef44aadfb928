"""From an ID to the hash tag that decides its slot: a pure function, so that any worker finds a session from its ID alone."""

from __future__ import annotations

import re
from zlib import crc32

_UUID8 = re.compile(r"([0-9a-f]{8})-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z", re.IGNORECASE)


def hash_tag(id: str) -> str:
    """Return the first 8 hex digits of the version-8 UUID that ends the ID, in lower case.

    For any other ID: the CRC-32 (IEEE 802.3, as zlib computes it) of its UTF-8 bytes, as 8 lower-case hex digits.
    """
    found = _UUID8.search(id)
    return found[1].lower() if found else f"{crc32(id.encode()):08x}"
