"""Calls that read everything that may refer to a file of a blob store, slice by slice, as it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..protocol.call import Call
from ..protocol.found_keys import category_of, session_id_of, staged_keys_of, staged_session_of, thread_of
from ..protocol.keys import AnyKeys, quarantined_key_of, session_keys

_FIELDS_AT_ONCE = 50
_ELEMENTS_AT_ONCE = 50


class Place(NamedTuple):
    """A key that may hold references."""

    key: str
    keys: AnyKeys
    """The keys by whose tag the key is routed."""
    is_list: bool = False


class Slice(NamedTuple):
    """Some values of a hash, and the cursor behind them."""

    cursor: int
    values: list[bytes]


def scan_hash(place: Place, cursor: int) -> Call[Slice]:
    """Read some values of a hash, and where to go on, 0 at the end. A field that exists all the time is read."""

    def read(reply: Any) -> Slice:
        return Slice(int(reply[0]), list(reply[1][1::2]))

    return Call(("HSCAN", place.key, cursor, "COUNT", _FIELDS_AT_ONCE), place.keys, read, writes=False)


def read_list(place: Place, read: int) -> Call[list[bytes]]:
    """Read some elements of a list from its end, before the newest ones that were read. Return [] when all were read.

    Elements that are pushed at the end or leave at the head in between make it skip none.
    """
    return Call(("LRANGE", place.key, -read - _ELEMENTS_AT_ONCE, -read - 1), place.keys, list, writes=False)


def places_of(namespace: str, key: bytes) -> Iterator[Place]:
    """Yield what must be read for a key that a pattern found, in order. Nothing for a key that is not of the library.

    Messages of a session move from its inbox (hash) to its list, and from there to the kept ones (hash). So the hash is read
    before the list, and again behind it. A pop moves a message from both to the popped ones, which are read last.
    """
    id = session_id_of(namespace, key)
    if id is not None:
        keys = session_keys(namespace, id)
        hash = Place(keys.session, keys)
        yield from (
            hash,
            Place(keys.messages, keys, True),
            hash,
            Place(keys.parts, keys),
            Place(keys.popped, keys, True),
        )
        return
    staged = staged_keys_of(namespace, key) or staged_keys_of(namespace, staged_session_of(key))
    if staged is not None:
        yield Place(staged.fields, staged)
        yield Place(staged.elements, staged, True)
        yield Place(staged.parts, staged)
        return
    quarantined = quarantined_key_of(namespace, key)
    if quarantined is not None:
        yield Place(key.decode(), quarantined[1], quarantined[0] == "messages")
        return
    thread = thread_of(namespace, key)
    if thread is not None:
        yield Place(thread.values, thread)
        return
    category = category_of(namespace, key)
    if category is not None:
        yield Place(category.documents, category)
