# Generated from _async/transport/sentinel.py by tools/mirror.py; edit that file.
"""Find the master of a Sentinel service, and notice a new master although the old one still answers."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from redis.exceptions import AuthenticationError, NoPermissionError

from ..._core.protocol.transport_errors import ConnectFailed, ConnectionRejected, TransportError
from ..._fork import run_in_child
from ...engines import Engine
from . import primitives
from .connect import connector

CHECK_SECONDS = 0.5
"""The pause between two checks of the master."""
_FRESH_SECONDS = 0.05
"""The time for which an answer is used again, because many calls fail at once."""
_TIMEOUT_SECONDS = 1.0
"""The time limit for an answer of one sentinel."""
Address = tuple[str, int]


class SentinelResolver:
    """The sentinels of a service.

    All are asked. Those that were silent last time are asked only until most have answered.
    """

    def __init__(self, engine: Engine) -> None:
        self._service = engine.service
        plain = replace(engine, options=engine.sentinel_options, service="")
        self._clients = [
            primitives.NodeClient(connector(plain, _TIMEOUT_SECONDS, address), _TIMEOUT_SECONDS, 1)
            for address in engine.sentinels
        ]
        self._silent: set[primitives.NodeClient] = set()
        self._reset()
        run_in_child(self._reset)
        self._asked_at = 0.0
        self._master: Address | None = None

    def _reset(self) -> None:
        self._asking = primitives.Lock()

    def find(self) -> Address:
        """Return the address of the master by the newest configuration. Raises ConnectFailed, ConnectionRejected."""
        with self._asking:
            if self._master is None or time.monotonic() - self._asked_at > _FRESH_SECONDS:
                self._master = self._ask_all()
                self._asked_at = time.monotonic()
            return self._master

    def _ask_all(self) -> Address:
        answers: list[tuple[int, Address]] = []
        silent: set[primitives.NodeClient] = set()
        problem: Exception = ConnectFailed("the URL names no sentinel")
        for client in sorted(self._clients, key=lambda client: client in self._silent):
            if client in self._silent and len(answers) > len(self._clients) / 2:
                silent.add(client)
                continue
            try:
                answers.append(self._ask(client))
            except ConnectionRejected:
                raise
            except TransportError as found:
                problem = found
                silent.add(client)
        self._silent = silent
        if not answers:
            raise ConnectFailed(f"no sentinel knows a master of {self._service!r} ({problem})")
        return max(answers)[1]

    def _ask(self, client: primitives.NodeClient) -> tuple[int, Address]:
        """Return the epoch of a sentinel's configuration, and the master it names."""
        commands = [("SENTINEL", word, self._service) for word in ("GET-MASTER-ADDR-BY-NAME", "MASTER")]
        address, facts = client.send(*commands)
        if isinstance(address, AuthenticationError | NoPermissionError):
            raise address
        if address is None:
            raise ConnectionRejected(
                f"the sentinels know no service {self._service!r}; the URL ends in the service's name"
            )
        if isinstance(address, Exception) or isinstance(facts, Exception):
            raise ConnectFailed(str(address if isinstance(address, Exception) else facts))
        by_name: dict[Any, Any] = dict(zip(facts[::2], facts[1::2], strict=True))
        return int(by_name[b"config-epoch"]), (address[0].decode(), int(address[1]))

    def close(self) -> None:
        """Close the connections to the sentinels."""
        for client in self._clients:
            client.close()
