"""Sends a command to the node that has its slot, and follows where a cluster points."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    AuthenticationError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
)

from .._core.calls import Argument, Call
from .._core.faults import Fault, Lost, NotServing, Refused, Unreachable
from .._core.forks import in_child
from .._core.scripts import Script
from ..engines import Engine
from . import background, io
from .connections import connector
from .masters import EVERY, Address, Masters

_HOPS = 5
Command = tuple[Argument, ...]


class Nodes:
    """One link for a single server or the master of a Sentinel service, one a node for a cluster."""

    def __init__(self, engine: Engine, timeout: float, max_connections: int) -> None:
        self._engine = engine
        self._timeout = timeout
        self._max_connections = max_connections
        self._masters = Masters(engine) if engine.sentinels else None
        self._master: Address | None = None
        self._only = None if engine.nodes or engine.sentinels else self._link(None)
        self._links: dict[Address, io.Link] = {}
        self._slots: dict[int, Address] = {}
        self._failed: dict[Address, float] = {}
        self._subscription: io.Subscription | None = None
        self._closed = background.Event()
        self._start()
        in_child(self._start)

    def _start(self) -> None:
        self._discovering = io.Lock()
        self._is_watched = False

    async def send(
        self,
        route: str,
        command: Command,
        script: Script | None = None,
        wait: Command | None = None,
        ahead: Sequence[Call[Any]] = (),
    ) -> list[Any]:
        """The reply and, behind it, that to `wait`; errors of the server as values. `route` is hashed to a slot.

        Calls that go ahead go with it, where there is one server.
        """
        if self._engine.nodes:
            return await self._follow(route, command, script, wait)
        link = await self._watched() if self._masters is not None else self._server()
        try:
            replies = await (self._in_company(link, ahead, command, wait) if ahead else link.send(command, wait=wait))
            if isinstance(replies[0], NoScriptError) and script is not None:
                replies = (await link.send(("SCRIPT", "LOAD", script.source), command, wait=wait))[1:]
        except (Unreachable, Lost):
            await self._look()
            raise
        if isinstance(replies[0], ReadOnlyError):
            await self._look()
        return replies

    async def send_many(self, commands: Sequence[tuple[str, Command]]) -> list[Any]:
        """The replies to commands with their routes, in order, errors and faults as values.

        One round trip to each node, one after the other, first to that of the first command.
        """
        groups: dict[io.Link, list[int]] = {}
        for at, (route, _) in enumerate(commands):
            if self.is_cluster:
                link = self._node(await self._node_of(key_slot(route.encode())))
            else:
                link = await self._watched() if self._masters is not None else self._server()
            groups.setdefault(link, []).append(at)
        replies: list[Any] = [None] * len(commands)
        for link, places in groups.items():
            try:
                found = await link.send(*[commands[at][1] for at in places])
            except (Unreachable, Lost) as problem:  # of the others nodes may know
                self._slots.clear()
                found = [problem] * len(places)
            for at, reply in zip(places, found, strict=True):
                replies[at] = reply
        return replies

    async def _in_company(
        self, link: io.Link, ahead: Sequence[Call[Any]], command: Command, wait: Command | None
    ) -> list[Any]:
        replies = await link.send(*[call.command for call in ahead], command, wait=wait)
        again = [call for call, reply in zip(ahead, replies, strict=False) if isinstance(reply, NoScriptError)]
        if again:
            loads = {call.script.name: call.script.source for call in again if call.script is not None}
            commands = [*[("SCRIPT", "LOAD", source) for source in loads.values()], *[call.command for call in again]]
            await link.send(*commands)
        return replies[len(ahead) :]

    def _server(self) -> io.Link:
        assert self._only is not None
        return self._only

    async def _watched(self) -> io.Link:
        """The link to the master, which is looked for twice a second from the first use on."""
        if not self._is_watched:
            self._is_watched = True
            background.spawn(self._keep_looking)
        if self._only is None:
            await self._look(must=True)
        return self._server()

    async def _keep_looking(self) -> None:
        while not await self._closed.wait(EVERY):
            await self._look()

    async def _look(self, *, must: bool = False) -> None:
        """Turns to the master that the sentinels name; calls in flight to another are lost, and repeated there."""
        if self._masters is None:
            return
        try:
            master = await self._masters.find()
        except (Fault, RedisError):
            if must:
                raise
            return  # the one we know may serve on
        before = None
        async with self._discovering:
            if master != self._master:
                before, self._only, self._master = self._only, self._link(master), master
        if before is not None:
            await before.abandon()
            if self._subscription is not None:
                await self._subscription.close()  # whoever waits asks there again

    async def _follow(self, route: str, command: Command, script: Script | None, wait: Command | None) -> list[Any]:
        slot = key_slot(route.encode())
        node = await self._node_of(slot)
        before: tuple[Command, ...] = ()
        for _ in range(_HOPS):
            try:
                link = self._node(node)
                replies = (await link.send(*before, command, wait=wait))[len(before) :]
                if isinstance(replies[0], NoScriptError) and script is not None:
                    load = ("SCRIPT", "LOAD", script.source)
                    replies = (await link.send(load, *before, command, wait=wait))[len(before) + 1 :]
            except (Unreachable, Lost):
                self._slots.clear()  # a node is gone: look again who serves what
                self._failed[node] = time.monotonic()
                raise
            reply = replies[0]
            if isinstance(reply, AskError):
                node, before = reply.node_addr, (("ASKING",),)
            elif isinstance(reply, MovedError):
                self._slots[slot] = reply.node_addr
                node, before = reply.node_addr, ()
            else:
                return replies
        raise NotServing("the cluster kept pointing elsewhere")

    @property
    def is_cluster(self) -> bool:
        """Whether there may be more than one."""
        return bool(self._engine.nodes)

    async def subscribe(self, channel: str) -> io.Subscription:
        """An open subscription; in a cluster to any node, as each hears what is published at any."""
        nodes: list[Address | None] = [None]
        if self._masters is not None:
            await self._watched()
            nodes = [self._master]
        elif self.is_cluster:
            await self._node_of(0)
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
            self._subscription = subscription
            return subscription
        raise problem

    async def every(self, command: Command) -> list[Any]:
        """The reply of every node."""
        if not self.is_cluster:
            return await self.send("", command)
        await self._node_of(0)
        return [(await self._node(node).send(command))[0] for node in sorted(set(self._slots.values()))]

    async def scan(self, pattern: str) -> AsyncIterator[bytes]:
        """The keys of every node that match, some perhaps twice. Reads the whole keyspace: for repairs alone."""
        if self.is_cluster:
            await self._node_of(0)
            links = [self._node(node) for node in sorted(set(self._slots.values()))]
        else:
            links = [await self._watched() if self._masters is not None else self._server()]
        for link in links:
            cursor: Argument = 0
            while True:
                (reply,) = await link.send(("SCAN", cursor, "MATCH", pattern, "COUNT", 1000))
                if isinstance(reply, Exception):
                    raise reply
                cursor, keys = reply
                for key in keys:
                    yield key
                if int(cursor) == 0:
                    break

    async def close(self) -> None:
        self._closed.set()
        for link in [self._only, self._masters, *self._links.values()]:
            if link is not None:
                await link.close()
        self._engine.release()

    def _link(self, node: Address | None) -> io.Link:
        return io.Link(connector(self._engine, self._timeout, node), self._timeout, self._max_connections)

    def _node(self, node: Address) -> io.Link:
        if node not in self._links:
            self._links[node] = self._link(node)
        return self._links[node]

    async def _node_of(self, slot: int) -> Address:
        node = self._slots.get(slot)
        if node is None:
            async with self._discovering:
                node = self._slots.get(slot)
                if node is None:
                    self._slots = await self._discover()
                    node = self._slots.get(slot)
        if node is None:
            raise NotServing(f"no node of the cluster serves slot {slot}")
        return node

    async def _discover(self) -> dict[int, Address]:
        """Who serves what, from the first node that answers."""
        problem: Exception = Unreachable("no node known")
        nodes = dict.fromkeys([*self._engine.nodes, *self._links])
        for node in sorted(nodes, key=lambda node: self._failed.get(node, 0.0)):
            try:
                (reply,) = await self._node(node).send(("CLUSTER", "SLOTS"))
            except (Unreachable, Lost) as found:
                problem = found
                self._failed[node] = time.monotonic()
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
