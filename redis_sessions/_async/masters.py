"""Finds the master of a Sentinel service, and notices a new one though the old one still answers."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from redis.exceptions import AuthenticationError, NoPermissionError

from .._core.faults import Fault, Refused, Unreachable
from .._core.forks import in_child
from ..engines import Engine
from . import io
from .connections import connector

EVERY = 0.5  # seconds between two looks
_SOON = 0.05  # seconds for which a look is new enough, when many calls fail at once
_PATIENCE = 1.0  # seconds for a sentinel to answer
Address = tuple[str, int]


class Masters:
    """Asks all sentinels, but those that were silent last time only until most have answered."""

    def __init__(self, engine: Engine) -> None:
        self._service = engine.service
        plain = replace(engine, options=engine.sentinel_options, service="")
        self._links = [io.Link(connector(plain, _PATIENCE, address), _PATIENCE, 1) for address in engine.sentinels]
        self._silent: set[io.Link] = set()
        self._start()
        in_child(self._start)
        self._looked = 0.0
        self._found: Address | None = None

    def _start(self) -> None:
        self._looking = io.Lock()

    async def find(self) -> Address:
        """The address that the newest configuration names. Raises Unreachable, Refused."""
        async with self._looking:
            if self._found is None or time.monotonic() - self._looked > _SOON:
                self._found = await self._ask_all()
                self._looked = time.monotonic()
            return self._found

    async def _ask_all(self) -> Address:
        answers: list[tuple[int, Address]] = []
        silent: set[io.Link] = set()
        problem: Exception = Unreachable("no sentinel named")
        for link in sorted(self._links, key=lambda link: link in self._silent):
            if link in self._silent and len(answers) > len(self._links) / 2:
                silent.add(link)
                continue
            try:
                answers.append(await self._ask(link))
            except Refused:
                raise
            except Fault as found:
                problem = found
                silent.add(link)
        self._silent = silent
        if not answers:
            raise Unreachable(f"no sentinel knows a master of {self._service!r} ({problem})")
        return max(answers)[1]

    async def _ask(self, link: io.Link) -> tuple[int, Address]:
        """The epoch of a sentinel's configuration, and the master it names."""
        commands = [("SENTINEL", word, self._service) for word in ("GET-MASTER-ADDR-BY-NAME", "MASTER")]
        address, facts = await link.send(*commands)
        if isinstance(address, AuthenticationError | NoPermissionError):
            raise address
        if address is None:
            raise Refused(f"the sentinels know no service {self._service!r}; the URL ends in its name")
        if isinstance(address, Exception) or isinstance(facts, Exception):
            raise Unreachable(str(address if isinstance(address, Exception) else facts))
        names: dict[Any, Any] = dict(zip(facts[::2], facts[1::2], strict=True))
        return int(names[b"config-epoch"]), (address[0].decode(), int(address[1]))

    async def close(self) -> None:
        """Closes the connections to the sentinels."""
        for link in self._links:
            await link.close()
