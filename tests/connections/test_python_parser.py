"""Replies that the parser of redis-py in Python raises as errors of the connection."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from redis import Connection
from redis._parsers import _RESP2Parser
from redis.exceptions import BusyLoadingError

from redis_sessions._sync.transport.connections import NodeClient
from redis_sessions._sync.transport.sockets import bounded

LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"


@contextmanager
def loading_port(loading: int) -> Iterator[int]:
    """Serve a port that answers the first PINGs with LOADING, and then with PONG."""
    left = loading

    def serve(peer: socket.socket) -> None:
        nonlocal left
        with peer, suppress(OSError):
            while data := peer.recv(65536):
                peer.sendall(b"+OK\r\n" * data.count(b"SETINFO"))
                for _ in range(data.count(b"PING")):
                    left -= 1
                    peer.sendall(LOADING if left >= 0 else b"+PONG\r\n")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("count", [1, 3])
def test_connection_is_usable_when_the_server_has_loaded(count: int) -> None:
    """A reply of LOADING is not read again and again, also without hiredis, and it stands for all commands of its batch."""
    with loading_port(count) as port:
        client = NodeClient(
            lambda: bounded(Connection)(host="127.0.0.1", port=port, parser_class=_RESP2Parser, protocol=2), 5, 1
        )
        assert [type(one) for one in client.send(*[("PING",)] * count)] == [BusyLoadingError] * count
        assert client.send(*[("PING",)] * count) == [b"PONG"] * count
        client.close()
