"""Send a command to the node that serves its slot, and follow a cluster's redirections and a Sentinel service's failovers."""

from __future__ import annotations

import random
import re
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any
from weakref import WeakMethod

from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    AuthenticationError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    RedisError,
)

from ..._core.protocol.call import Argument, Call, Command
from ..._core.protocol.scripts import Script, load_commands
from ..._core.protocol.transport_errors import (
    ConnectFailed,
    ConnectImpossible,
    ConnectionLost,
    ConnectionRejected,
    ServerNotReady,
    TransportError,
)
from ..._fork import run_in_child
from ...engines import Engine
from . import connections, primitives, tasks
from .connect import connector
from .refusals import is_of_replica
from .script_sending import load_and_send
from .sentinel import Address, SentinelResolver, keep_checking

_MAX_REDIRECTIONS = 5
Routed = tuple[str, Command]


class Router:
    """The clients of an engine's nodes: one for a single server or the master of a Sentinel service, one a node of a cluster."""

    def __init__(self, engine: Engine, timeout: float, max_connections: int) -> None:
        self._engine = engine
        self.is_cluster = bool(engine.nodes)
        """True if there can be more than one node."""
        self.timeout = timeout
        """Bounds one attempt, in seconds."""
        self._max_connections = max_connections
        self._sentinel = SentinelResolver(engine) if engine.sentinels else None
        self._master: Address | None = None
        self._single = None if engine.nodes or engine.sentinels else self._new_client(None)
        self._clients: dict[Address, connections.NodeClient] = {}
        self._slots: dict[int, Address] = {}
        self._failed_at: dict[Address, float] = {}
        self._hints_loaded: tuple[connections.NodeClient | None, int] = (None, 0)
        self._subscription: connections.Subscription | None = None
        self._closed = tasks.Event()
        self._reset()
        run_in_child(self._reset)

    def _reset(self) -> None:
        self._discovery = primitives.SharedAttempt[dict[int, Address]](self.timeout)
        self._switching = primitives.Lock()
        self._is_checking_master = False
        self._must_find_master = self._sentinel is not None

    def twin(self) -> Router:
        """Return a router with the same settings and one connection of its own to each node."""
        return Router(self._engine, self.timeout, 1)

    async def send(
        self,
        route: str,
        command: Command,
        script: Script | None = None,
        wait: Command | None = None,
        hints: Sequence[Call[Any]] = (),
        due: float | None = None,
    ) -> list[Any]:
        """Return the replies to the hints, to a command, and to `wait`. Errors of the server are values.

        Args:
            route: text that is hashed to the slot.
            script: loaded if the server does not know it.
            wait: a command, such as WAIT, that must follow on the same connection.
            hints: calls that precede the command. Not for a cluster.
            due: the time by `time.monotonic` at which the attempt must be over. Default: `timeout` from now.

        Raises TransportError.
        """
        if due is None:
            due = time.monotonic() + self.timeout
        if self.is_cluster:
            return await self._send_to_slot(route, command, script, wait, due)
        client = self._single
        if client is None or self._must_find_master:
            client = await self._master_client(due)
        before: Sequence[Command] = ()
        try:
            if hints:
                await self._load_hints(client, due)
                before = [hint.command for hint in hints]
            replies = await client.send(*before, command, wait=wait, due=due)
            if script is not None and isinstance(replies[len(before)], NoScriptError):
                replies = await load_and_send(client, before, command, script, wait, due)
        except (ConnectFailed, ConnectionLost):
            self._must_find_master = self._sentinel is not None
            raise
        if is_of_replica(replies[len(before)]):
            await self._leave_replica(client)
        return replies

    async def _leave_replica(self, client: connections.NodeClient) -> None:
        """Drop the connections to a server that is not a master: its address may lead to another server by now."""
        self._must_find_master = self._sentinel is not None
        await client.drop()
        if self._subscription is not None:
            await self._subscription.close()

    async def send_many(self, commands: Sequence[Routed], due: float, wait: Command | None = None) -> list[Any]:
        """Return the replies to commands with their routes, in order, each with the reply to `wait` of its node.

        Errors of servers and of the transport are values. `wait`: sent to each node behind its commands.

        Nodes are asked one after the other, first that of the first command. Each has an equal share of the time until `due`.

        Cost: one round trip to each node.
        """
        groups: dict[connections.NodeClient, list[int]] = {}
        for at, (route, _) in enumerate(commands):
            if self.is_cluster:
                client = self._client_of(await self._node_of(key_slot(route.encode()), due))
            else:
                client = await self._single_client(due)
            groups.setdefault(client, []).append(at)
        replies: list[Any] = [None] * len(commands)
        for number, (client, positions) in enumerate(groups.items()):
            now = time.monotonic()
            share = (due - now) / (len(groups) - number)
            try:
                found = await client.send(*[commands[at][1] for at in positions], wait=wait, due=now + share)
            except (ConnectFailed, ConnectionLost) as problem:
                self._slots = {}  # discover again: other nodes may serve the slots now
                self._must_find_master = self._sentinel is not None
                found = [problem] * len(positions)
            for at, reply in zip(positions, found, strict=False):
                replies[at] = (reply, found[-1])
        return replies

    async def _load_hints(self, client: connections.NodeClient, due: float) -> None:
        """Load the scripts of hints, once for each connection that is opened, because the server may be a new one.

        After a SCRIPT FLUSH on an open connection the write meets NOSCRIPT, too, until some client has loaded the hints again.
        """
        if self._hints_loaded != (client, client.connections_opened):
            await client.send(*load_commands(), due=due)
            self._hints_loaded = (client, client.connections_opened)

    # -- a single server, or the master of a Sentinel service --------------------------------------------------------

    async def _single_client(self, due: float) -> connections.NodeClient:
        return await self._master_client(due) if self._single is None or self._must_find_master else self._single

    async def _master_client(self, due: float) -> connections.NodeClient:
        """Return the client of the master. From the first call on the sentinels are asked twice a second."""
        if not self._is_checking_master:
            self._is_checking_master = True
            checker = tasks.try_spawn(keep_checking, WeakMethod(self._check_master), self._closed, self.timeout)
            self._is_checking_master = checker is not None
        known, now = self._single, time.monotonic()
        try:
            return await self._check_master(due if known is None else now + (due - now) / 2)
        except (TransportError, RedisError):
            if known is None:
                raise
            return known  # the known master may serve on
        finally:
            self._must_find_master = False

    async def _check_master(self, due: float) -> connections.NodeClient:
        """Switch to the master that the sentinels name. Calls in flight to another one are lost, and retried there."""
        assert self._sentinel is not None
        master = self._engine.reachable(await self._sentinel.find(due))
        before = None
        async with self._switching:
            if master != self._master or self._single is None:
                before, self._single, self._master = self._single, self._new_client(master), master
            client = self._single
        if before is not None:
            await before.abandon()
            if self._subscription is not None:
                await self._subscription.close()  # waiters ask the new master
        return client

    # -- a cluster ---------------------------------------------------------------------------------------------------

    async def _send_to_slot(
        self, route: str, command: Command, script: Script | None, wait: Command | None, due: float
    ) -> list[Any]:
        slot = key_slot(route.encode())
        node = await self._node_of(slot, due)
        slots = self._slots
        before: tuple[Command, ...] = ()
        for _ in range(_MAX_REDIRECTIONS):
            try:
                client = self._client_of(node)
                replies = await client.send(*before, command, wait=wait, due=due)
                if script is not None and isinstance(replies[len(before)], NoScriptError):
                    replies = await load_and_send(client, before, command, script, wait, due)
            except (ConnectFailed, ConnectionLost):
                self._failed_at[node] = time.monotonic()
                if self._slots is slots:
                    self._slots = {}  # a node is gone: discover again who serves what
                raise
            reply = replies[len(before)]
            if isinstance(reply, MovedError):  # first, because MovedError is a kind of AskError
                self._slots[slot] = node = self._engine.reachable(reply.node_addr)
                before = ()
            elif isinstance(reply, AskError):
                node, before = self._engine.reachable(reply.node_addr), (("ASKING",),)
            else:
                return replies[len(before) :]
        raise ServerNotReady("the cluster redirected too often")

    async def _node_of(self, slot: int, due: float) -> Address:
        node = self._slots.get(slot)
        if node is None:
            node = (await self._discovery.join(self._discover, due)).get(slot)
        if node is None:
            raise ServerNotReady(f"no node of the cluster serves slot {slot}")
        return node

    async def _discover(self, due: float) -> dict[int, Address]:
        """Ask the nodes which master serves each slot, until one answers. Each has an equal share of the time that is left."""
        problem: Exception = ConnectFailed("no node is known")
        nodes = dict.fromkeys([*self._engine.nodes, *self._clients])
        for at, node in enumerate(sorted(nodes, key=lambda node: self._failed_at.get(node, 0.0))):
            now = time.monotonic()
            share = (due - now) / (len(nodes) - at)
            try:
                (reply,) = await self._client_of(node).send(("CLUSTER", "SLOTS"), due=now + share)
            except (ConnectFailed, ConnectionLost, ConnectImpossible) as found:
                problem = found
                self._failed_at[node] = time.monotonic()
                continue
            if isinstance(reply, AuthenticationError | NoPermissionError):
                raise reply
            if isinstance(reply, Exception):
                if re.search("cluster support disabled|unknown command", str(reply)):
                    raise ConnectionRejected(f"{reply}. For a single server use redis://")
                problem = reply
                continue
            self._slots = {
                slot: address
                for first, last, master, *_ in reply
                for address in [self._engine.reachable(((master[0] or node[0].encode()).decode(), int(master[1])))]
                for slot in range(first, last + 1)
            }
            return self._slots
        kind = ConnectImpossible if isinstance(problem, ConnectImpossible) else ConnectFailed
        raise kind(f"no node of the cluster answers ({problem})")

    # -- all nodes ---------------------------------------------------------------------------------------------------

    async def subscribe(self, channel: str, due: float) -> connections.Subscription:
        """Return an open subscription. In a cluster any node serves it, because each hears what is published at any.

        Raises TransportError before `due`, and the server's refusals.
        """
        nodes: list[Address | None] = [None]
        if self._sentinel is not None:
            await self._single_client(due)
            nodes = [self._master]
        elif self.is_cluster:
            await self._node_of(0, due)
            nodes = [*dict.fromkeys(self._slots.values())]
            random.shuffle(nodes)
        problem: TransportError = ConnectFailed("no node is known")
        for at, node in enumerate(nodes):
            now = time.monotonic()
            connect = connector(self._engine, self.timeout, node, is_idle=True)
            subscription = connections.Subscription(connect, self.timeout, channel)
            try:
                await subscription.open(now + (due - now) / (len(nodes) - at))
            except ConnectFailed as found:
                problem = found
                continue
            self._subscription = subscription
            return subscription
        raise problem

    async def send_to_all(self, command: Command) -> list[Any]:
        """Return the reply of every node."""
        if not self.is_cluster:
            return await self.send("", command)
        return [(await client.send(command))[0] for client in (await self.masters()).values()]

    async def scan(self, pattern: str) -> AsyncIterator[bytes]:
        """Yield the keys of every node that match a pattern, some perhaps twice. Reads the whole keyspace: for repairs only."""
        for client in (await self.masters()).values():
            cursor: Argument = 0
            while True:
                (reply,) = await client.send(("SCAN", cursor, "MATCH", pattern, "COUNT", 1000))
                if isinstance(reply, Exception):
                    raise reply
                cursor, keys = reply
                for key in keys:
                    yield key
                if int(cursor) == 0:
                    break

    async def masters(self) -> dict[str, connections.NodeClient]:
        """Return the client of every master by its address."""
        due = time.monotonic() + self.timeout
        if not self.is_cluster:
            return {self._engine.where: await self._single_client(due)}
        await self._node_of(0, due)
        return {f"{node[0]}:{node[1]}": self._client_of(node) for node in sorted(set(self._slots.values()))}

    async def close(self) -> None:
        """Close all connections for good."""
        self._closed.set()
        for client in [self._single, self._sentinel, *self._clients.values()]:
            if client is not None:
                await client.close()

    def _new_client(self, node: Address | None) -> connections.NodeClient:
        connect = connector(self._engine, self.timeout, node)
        return connections.NodeClient(connect, self.timeout, self._max_connections)

    def _client_of(self, node: Address) -> connections.NodeClient:
        if node not in self._clients:
            self._clients[node] = self._new_client(node)
        return self._clients[node]
