"""Find the master of a Sentinel service, and notice a new master although the old one still answers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from weakref import WeakMethod

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from ..._core.protocol.transport_errors import ConnectFailed, ConnectionRejected, TransportError
from ..._fork import run_in_child
from ...engines import Engine
from ...errors import InvalidInput
from . import connections, primitives, tasks
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
        self._clients = [
            connections.NodeClient(connector(engine.for_sentinels, _TIMEOUT_SECONDS, address), _TIMEOUT_SECONDS, 1)
            for address in engine.sentinels
        ]
        self._silent: set[connections.NodeClient] = set()
        self._reset()
        run_in_child(self._reset)
        self._asked_at = 0.0
        self._master: Address | None = None

    def _reset(self) -> None:
        self._asking = primitives.SharedAttempt[Address](_TIMEOUT_SECONDS)

    async def find(self, due: float) -> Address:
        """Return the address of the master by the newest configuration. All callers of the moment share the answer.

        Args:
            due: the time by `time.monotonic` at which the attempt must be over.

        Raises TransportError, and the refusal of a sentinel if none names a master.
        """
        if self._master is not None and time.monotonic() - self._asked_at < _FRESH_SECONDS:
            return self._master
        return await self._asking.join(self._ask_all, due)

    async def _ask_all(self, due: float) -> Address:
        """Ask one sentinel after the other. Each has an equal share of the time that is left."""
        answers: list[tuple[int, Address]] = []
        silent: set[connections.NodeClient] = set()
        problem: TransportError = ConnectFailed("the URL names no sentinel")
        refusal: Exception | None = None
        clients = sorted(self._clients, key=lambda client: client in self._silent)
        for at, client in enumerate(clients):
            if client in self._silent and len(answers) > len(clients) / 2:
                silent.add(client)
                continue
            now = time.monotonic()
            share = min((due - now) / (len(clients) - at), _TIMEOUT_SECONDS)
            try:
                answers.append(await self._ask(client, now + share))
            except (ConnectionRejected, AuthenticationError, NoPermissionError) as found:
                refusal = found  # the other sentinels may know the master
            except TransportError as found:
                problem = found
                silent.add(client)
        self._silent = silent
        if not answers and refusal is not None:
            raise refusal
        if not answers:
            raise type(problem)(f"no sentinel knows a master of {self._service!r} ({problem})")
        self._master, self._asked_at = max(answers)[1], time.monotonic()
        return self._master

    async def _ask(self, client: connections.NodeClient, due: float) -> tuple[int, Address]:
        """Return the epoch of a sentinel's configuration, and the master it names."""
        commands = [("SENTINEL", word, self._service) for word in ("GET-MASTER-ADDR-BY-NAME", "MASTER")]
        address, facts = await client.send(*commands, due=due)
        if isinstance(address, AuthenticationError | NoPermissionError):
            raise address
        if address is None:
            raise ConnectionRejected(
                f"the sentinels know no service {self._service!r}; the URL ends in the service's name"
            )
        if "unknown command" in str(address).lower():
            raise ConnectionRejected(f"{address}. The URL must name sentinels; for a single server use redis://")
        if isinstance(address, Exception) or isinstance(facts, Exception):
            raise ConnectFailed(str(address if isinstance(address, Exception) else facts))
        by_name: dict[Any, Any] = dict(zip(facts[::2], facts[1::2], strict=True))
        return int(by_name[b"config-epoch"]), (address[0].decode(), int(address[1]))

    async def close(self) -> None:
        """Close the connections to the sentinels."""
        for client in self._clients:
            await client.close()


async def keep_checking(
    found: WeakMethod[Callable[[float], Awaitable[object]]], closed: tasks.Event, seconds: float
) -> None:
    """Call the method that checks the master twice a second, until the router is closed or dropped."""
    while not await closed.wait(CHECK_SECONDS):
        check = found()
        if check is None:
            return
        with suppress(TransportError, RedisError, InvalidInput):  # the known master may serve on
            await check(time.monotonic() + seconds)
        del check
