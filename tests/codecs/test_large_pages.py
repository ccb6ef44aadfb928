"""Pages of compressed messages: few bytes from the server that become many in the client."""

from __future__ import annotations

from typing import Any

from redis_sessions import Message, Session
from redis_sessions._core.commands import messages
from redis_sessions._core.protocol.codec import MAX_DECODED_BYTES
from redis_sessions.codecs import Zstd
from tests.codecs.conftest import OpenCache

SIZE = 900_000
COUNT = 40
"""Messages of twice the bytes that a page decodes. As stored they fill a small part of a page."""


def wide(open_cache: OpenCache) -> Session:
    """Return a session of one turn with compressed messages."""
    session = open_cache(codecs=[Zstd()]).create(max_messages=None)
    session.append({"role": "user", "content": "begin"})
    for number in range(1, COUNT):
        session.append({"role": "assistant", "content": f"{number} " + "x" * SIZE})
    return session


def seqs(listed: Any) -> list[int]:
    """Return the seqs of messages."""
    return [message.seq for message in listed]


def size_of(listed: list[Message]) -> int:
    return sum(len(str(message.content)) for message in listed)


def test_page_of_compressed_messages_ends_at_its_decoded_size(open_cache: OpenCache) -> None:
    """A page holds 16 MiB and one message at most after the decoding, and says where the next one begins."""
    session = wide(open_cache)
    calls = [
        messages.read(session._keys, "", limit=1000),
        messages.read_filtered(session._keys, "", kinds="a", limit=1000),
    ]
    for call in calls:
        page = session._executor.run(call)
        assert MAX_DECODED_BYTES - SIZE < size_of(page.messages) < MAX_DECODED_BYTES + 2 * SIZE
        assert page.below == page.messages[0].seq
        assert page.messages[-1].seq == COUNT
    window = session._executor.run(messages.read_window(session._keys, "", budget=2**53))
    assert size_of(window.newest_first) < MAX_DECODED_BYTES + 2 * SIZE
    assert window.below == window.newest_first[-1].seq


def test_reads_of_compressed_messages_return_all_pages(open_cache: OpenCache) -> None:
    """A history, a filter, a turn and a window have each message once and in order."""
    session, everything = wide(open_cache), [*range(1, COUNT + 1)]
    assert seqs(session.history()) == everything
    assert seqs(session.history(30)) == everything[-30:]
    assert seqs(session.history(30, role="assistant")) == everything[-30:]
    assert len(session.context(10**12)) == COUNT
    turn = session.last_turn()
    assert turn is not None
    assert seqs(turn.entries) == everything
