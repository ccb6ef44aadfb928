"""Sends a command to the node that has its slot, and follows where a cluster points."""

from __future__ import annotations

import random
from typing import Any

from redis.crc import key_slot
from redis.exceptions import AskError, AuthenticationError, MovedError, NoPermissionError, NoScriptError

from .._core.calls import Argument
from .._core.faults import Lost, NotServing, Refused, Unreachable
from .._core.scripts import Script
from ..engines import Engine
from . import io
from .connections import connector

_HOPS = 5
Address = tuple[str, int]


class Nodes:
    """One link for a single server, one a node for a cluster."""

    def __init__(self, engine: Engine, timeout: float, max_connections: int) -> None:
        self._engine = engine
        self._timeout = timeout
        self._max_connections = max_connections
        self._only = None if engine.nodes else self._link(None)
        self._links: dict[Address, io.Link] = {}
        self._slots: dict[int, Address] = {}
        self._discovering = io.Lock()

    async def send(self, route: str, command: tuple[Argument, ...], script: Script | None) -> Any:
        """The reply, an error of the server as a value. `route` is the text that is hashed to a slot."""
        if self._only is not None:
            reply = await self._only.send(command)
            if isinstance(reply, NoScriptError) and script is not None:
                reply = await self._only.send(("SCRIPT", "LOAD", script.source), command)
            return reply
        return await self._follow(route, command, script)

    async def _follow(self, route: str, command: tuple[Argument, ...], script: Script | None) -> Any:
        slot = key_slot(route.encode())
        link = await self._link_of(slot)
        commands: tuple[tuple[Argument, ...], ...] = (command,)
        for _ in range(_HOPS):
            try:
                reply = await link.send(*commands)
                if isinstance(reply, NoScriptError) and script is not None:
                    reply = await link.send(("SCRIPT", "LOAD", script.source), *commands)
            except (Unreachable, Lost):
                self._slots.clear()  # a node is gone: look again who serves what
                raise
            if isinstance(reply, AskError):
                link, commands = self._node(reply.node_addr), (("ASKING",), command)
            elif isinstance(reply, MovedError):
                self._slots[slot] = reply.node_addr
                link, commands = self._node(reply.node_addr), (command,)
            else:
                return reply
        raise NotServing("the cluster kept pointing elsewhere")

    @property
    def is_cluster(self) -> bool:
        """Whether there may be more than one."""
        return self._only is None

    async def subscribe(self, channel: str) -> io.Subscription:
        """An open subscription; in a cluster to any node, as each hears what is published at any."""
        nodes: list[Address | None] = [None]
        if self._only is None:
            await self._link_of(0)
            nodes = [*dict.fromkeys(self._slots.values())]
            random.shuffle(nodes)
        problem: Exception = Unreachable("no node known")
        for node in nodes:
            connect = connector(self._engine, self._timeout, node, is_quiet=True)
            subscription = io.Subscription(connect, self._timeout, channel)
            try:
                await subscription.open()
            except Unreachable as found:
                problem = found
                continue
            return subscription
        raise problem

    async def every(self, command: tuple[Argument, ...]) -> list[Any]:
        """The reply of every node."""
        if self._only is not None:
            return [await self._only.send(command)]
        await self._link_of(0)
        return [await self._node(node).send(command) for node in sorted(set(self._slots.values()))]

    async def close(self) -> None:
        for link in [self._only, *self._links.values()]:
            if link is not None:
                await link.close()
        self._engine.release()

    def _link(self, node: Address | None) -> io.Link:
        return io.Link(connector(self._engine, self._timeout, node), self._timeout, self._max_connections)

    def _node(self, node: Address) -> io.Link:
        if node not in self._links:
            self._links[node] = self._link(node)
        return self._links[node]

    async def _link_of(self, slot: int) -> io.Link:
        node = self._slots.get(slot)
        if node is None:
            async with self._discovering:
                node = self._slots.get(slot)
                if node is None:
                    self._slots = await self._discover()
                    node = self._slots.get(slot)
        if node is None:
            raise NotServing(f"no node of the cluster serves slot {slot}")
        return self._node(node)

    async def _discover(self) -> dict[int, Address]:
        """Who serves what, from the first node that answers."""
        problem: Exception = Unreachable("no node known")
        for node in dict.fromkeys([*self._engine.nodes, *self._links]):
            try:
                reply = await self._node(node).send(("CLUSTER", "SLOTS"))
            except (Unreachable, Lost) as found:
                problem = found
                continue
            if isinstance(reply, AuthenticationError | NoPermissionError):
                raise reply
            if isinstance(reply, Exception):
                if "cluster support disabled" in str(reply):
                    raise Refused(f"{reply}; for a single server use redis://")
                problem = reply
                continue
            return {
                slot: ((master[0] or node[0].encode()).decode(), int(master[1]))
                for first, last, master, *_ in reply
                for slot in range(first, last + 1)
            }
        raise Unreachable(f"no node of the cluster answers ({problem})")
