"""Wrong secrets: each client that gave some has to wait before the next one is looked at."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections import OrderedDict
from dataclasses import dataclass
from time import monotonic

_log = logging.getLogger("redis_sessions.dashboard")
_FREE_GUESSES = 3
_PACE = 1.0
"""Seconds between two guesses of a client, once it has none free."""
_MAX_WAITING = 10.0
"""Seconds of waiting guesses above which a client is refused at once."""
_MEMORY = 600.0
"""Seconds for which a wrong guess counts."""
_MAX_CLIENTS = 10_000


@dataclass
class _Client:
    wrong: int = 0
    last_at: float = 0.0
    next_at: float = 0.0


class GuessLimiter:
    """Slows down clients that give wrong secrets. A client is an IPv4 address, or a /64 network of IPv6 addresses."""

    def __init__(self) -> None:
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    async def admit(self, client: str) -> bool:
        """Wait until a guess of this client may be looked at. Return False at once if too many guesses wait."""
        client, now = _network_of(client), monotonic()
        known = self._clients.get(client)
        if known is None or known.wrong < _FREE_GUESSES:
            return True
        if now - known.last_at > _MEMORY:
            del self._clients[client]
            return True
        if known.next_at - now > _MAX_WAITING:
            return False
        due = max(known.next_at, now)
        known.next_at = due + _PACE
        await asyncio.sleep(due - now)
        return True

    def count_wrong(self, client: str, path: str) -> None:
        """Log a wrong guess, and count it."""
        network = _network_of(client)
        known = self._clients.setdefault(network, _Client())
        self._clients.move_to_end(network)
        while len(self._clients) > _MAX_CLIENTS:
            self._clients.popitem(last=False)
        known.wrong, known.last_at = known.wrong + 1, monotonic()
        known.next_at = max(known.next_at, monotonic() + _PACE)
        _log.warning("wrong token or password from %s for %s (%d so far)", client, ascii(path[:200]), known.wrong)


def _network_of(client: str) -> str:
    """Return the network of an IPv6 address, because one machine has all addresses of it. Any other text stays."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if address.version == 4 or address.ipv4_mapped is not None:
        return client
    return str(ipaddress.ip_network((address.packed, 64), strict=False))
