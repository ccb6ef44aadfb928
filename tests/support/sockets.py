"""Sockets for fault tests: one that accepts and never answers, and a forwarder whose target moves."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def silent_ports(count: int) -> Iterator[list[int]]:
    """Open ports at which connections are accepted and nothing is ever answered. Yield the ports."""
    listeners: list[socket.socket] = []
    accepted: list[socket.socket] = []

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                accepted.append(listener.accept()[0])

    for _ in range(count):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        listeners.append(listener)
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
    try:
        yield [listener.getsockname()[1] for listener in listeners]
    finally:
        for one in [*listeners, *accepted]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port that refuses connections, and that no other process can take until the end of the block."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


class Forwarder:
    """A port that leads to another port. After a move, new connections lead to the new port and open ones stay."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._is_silent = threading.Event()
        self.byte_pause = 0.0
        """The seconds behind each byte that goes to a client. 0: no byte is held back."""
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> None:
        """Carry nothing more over open connections. They stay open."""
        self._is_silent.set()

    def close(self) -> None:
        """Accept no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self.target))
                for pair in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, is_reply: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                while is_reply and self.byte_pause and data:
                    sink.sendall(data[:1])
                    data = data[1:]
                    time.sleep(self.byte_pause)
                if not self._is_silent.is_set():
                    sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def forwarder(target: int) -> Iterator[Forwarder]:
    """Start a forwarder to a port of this machine."""
    found = Forwarder(target)
    try:
        yield found
    finally:
        found.close()
