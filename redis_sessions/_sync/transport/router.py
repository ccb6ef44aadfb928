# Generated from _async/transport/router.py by tools/mirror.py; edit that file.
"""Send a command to the node that serves its slot, and follow a cluster's redirections and a Sentinel service's failovers."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
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

from ..._core.protocol.call import Argument, Call, Command
from ..._core.protocol.scripts import Script, load_commands
from ..._core.protocol.transport_errors import (
    ConnectFailed,
    ConnectionLost,
    ConnectionRejected,
    ServerNotReady,
    TransportError,
)
from ..._fork import run_in_child
from ...engines import Engine
from . import primitives, tasks
from .connect import connector
from .sentinel import CHECK_SECONDS, Address, SentinelResolver

_MAX_REDIRECTIONS = 5


class Router:
    """The clients of an engine's nodes: one for a single server or the master of a Sentinel service, one a node of a cluster."""

    def __init__(self, engine: Engine, timeout: float, max_connections: int) -> None:
        self._engine = engine
        self._timeout = timeout
        self._max_connections = max_connections
        self._sentinel = SentinelResolver(engine) if engine.sentinels else None
        self._master: Address | None = None
        self._single = None if engine.nodes or engine.sentinels else self._new_client(None)
        self._clients: dict[Address, primitives.NodeClient] = {}
        self._slots: dict[int, Address] = {}
        self._failed_at: dict[Address, float] = {}
        self._hints_loaded: tuple[primitives.NodeClient | None, int] = (None, 0)
        self._subscription: primitives.Subscription | None = None
        self._closed = tasks.Event()
        self._reset()
        run_in_child(self._reset)

    def _reset(self) -> None:
        self._discovering = primitives.Lock()
        self._is_checking_master = False

    def twin(self) -> Router:
        """Return a router with the same settings and one connection of its own to each node."""
        return Router(replace(self._engine, release=lambda: None), self._timeout, 1)

    @property
    def is_cluster(self) -> bool:
        """True if there can be more than one node."""
        return bool(self._engine.nodes)

    def send(
        self,
        route: str,
        command: Command,
        script: Script | None = None,
        wait: Command | None = None,
        hints: Sequence[Call[Any]] = (),
    ) -> list[Any]:
        """Return the reply to a command, and behind it the reply to `wait`. Errors of the server are values.

        Args:
            route: text that is hashed to the slot.
            script: loaded if the server does not know it.
            wait: a command, such as WAIT, that must follow on the same connection.
            hints: calls that precede the command. Not for a cluster.

        Raises ConnectFailed, ConnectionLost, ConnectionRejected, ServerNotReady.
        """
        if self.is_cluster:
            return self._send_to_slot(route, command, script, wait)
        client = self._master_client() if self._sentinel is not None else self._server()
        try:
            if hints:
                self._load_hints(client)
            before = [hint.command for hint in hints]
            replies = client.send(*before, command, wait=wait)
            if isinstance(replies[len(before)], NoScriptError) and script is not None:
                before = [*load_commands(script), *before]
                replies = client.send(*before, command, wait=wait)
            replies = replies[len(before) :]
        except (ConnectFailed, ConnectionLost):
            self._check_master()
            raise
        if isinstance(replies[0], ReadOnlyError):
            self._check_master()
        return replies

    def send_many(self, commands: Sequence[tuple[str, Command]]) -> list[Any]:
        """Return the replies to commands with their routes, in order. Errors of servers and of the transport are values.

        Cost: one round trip to each node, one node after the other, first to that of the first command.
        """
        groups: dict[primitives.NodeClient, list[int]] = {}
        for at, (route, _) in enumerate(commands):
            if self.is_cluster:
                client = self._client_of(self._node_of(key_slot(route.encode())))
            else:
                client = self._master_client() if self._sentinel is not None else self._server()
            groups.setdefault(client, []).append(at)
        replies: list[Any] = [None] * len(commands)
        for client, positions in groups.items():
            try:
                found = client.send(*[commands[at][1] for at in positions])
            except (ConnectFailed, ConnectionLost) as problem:
                self._slots.clear()  # discover again: other nodes may serve the slots now
                found = [problem] * len(positions)
            for at, reply in zip(positions, found, strict=True):
                replies[at] = reply
        return replies

    def _load_hints(self, client: primitives.NodeClient) -> None:
        """Load the scripts of hints, once for each connection that is opened, because the server may be a new one.

        After a SCRIPT FLUSH on an open connection the write meets NOSCRIPT, too, until some client has loaded the hints again.
        """
        if self._hints_loaded != (client, client.connections_opened):
            client.send(*load_commands())
            self._hints_loaded = (client, client.connections_opened)

    # -- a single server, or the master of a Sentinel service --------------------------------------------------------

    def _server(self) -> primitives.NodeClient:
        assert self._single is not None
        return self._single

    def _master_client(self) -> primitives.NodeClient:
        """Return the client of the master. From the first call on the sentinels are asked twice a second."""
        if not self._is_checking_master:
            self._is_checking_master = True
            tasks.spawn(self._keep_checking_master)
        if self._single is None:
            self._check_master(must_find=True)
        return self._server()

    def _keep_checking_master(self) -> None:
        while not self._closed.wait(CHECK_SECONDS):
            self._check_master()

    def _check_master(self, *, must_find: bool = False) -> None:
        """Switch to the master that the sentinels name. Calls in flight to another one are lost, and retried there."""
        if self._sentinel is None:
            return
        try:
            master = self._sentinel.find()
        except (TransportError, RedisError):
            if must_find:
                raise
            return  # the known master may serve on
        before = None
        with self._discovering:
            if master != self._master:
                before, self._single, self._master = self._single, self._new_client(master), master
        if before is not None:
            before.abandon()
            if self._subscription is not None:
                self._subscription.close()  # waiters ask the new master

    # -- a cluster ---------------------------------------------------------------------------------------------------

    def _send_to_slot(self, route: str, command: Command, script: Script | None, wait: Command | None) -> list[Any]:
        slot = key_slot(route.encode())
        node = self._node_of(slot)
        before: tuple[Command, ...] = ()
        for _ in range(_MAX_REDIRECTIONS):
            try:
                client = self._client_of(node)
                replies = (client.send(*before, command, wait=wait))[len(before) :]
                if isinstance(replies[0], NoScriptError) and script is not None:
                    loads = load_commands(script)
                    replies = (client.send(*loads, *before, command, wait=wait))[len(loads) + len(before) :]
            except (ConnectFailed, ConnectionLost):
                self._slots.clear()  # a node is gone: discover again who serves what
                self._failed_at[node] = time.monotonic()
                raise
            reply = replies[0]
            if isinstance(reply, AskError):
                node, before = reply.node_addr, (("ASKING",),)
            elif isinstance(reply, MovedError):
                self._slots[slot] = reply.node_addr
                node, before = reply.node_addr, ()
            else:
                return replies
        raise ServerNotReady("the cluster redirected too often")

    def _node_of(self, slot: int) -> Address:
        node = self._slots.get(slot)
        if node is None:
            with self._discovering:
                node = self._slots.get(slot)
                if node is None:
                    self._slots = self._discover()
                    node = self._slots.get(slot)
        if node is None:
            raise ServerNotReady(f"no node of the cluster serves slot {slot}")
        return node

    def _discover(self) -> dict[int, Address]:
        """Return which master serves each slot, from the first node that answers."""
        problem: Exception = ConnectFailed("no node is known")
        nodes = dict.fromkeys([*self._engine.nodes, *self._clients])
        for node in sorted(nodes, key=lambda node: self._failed_at.get(node, 0.0)):
            try:
                (reply,) = self._client_of(node).send(("CLUSTER", "SLOTS"))
            except (ConnectFailed, ConnectionLost) as found:
                problem = found
                self._failed_at[node] = time.monotonic()
                continue
            if isinstance(reply, AuthenticationError | NoPermissionError):
                raise reply
            if isinstance(reply, Exception):
                if "cluster support disabled" in str(reply):
                    raise ConnectionRejected(f"{reply}. For a single server use redis://")
                problem = reply
                continue
            return {
                slot: ((master[0] or node[0].encode()).decode(), int(master[1]))
                for first, last, master, *_ in reply
                for slot in range(first, last + 1)
            }
        raise ConnectFailed(f"no node of the cluster answers ({problem})")

    # -- all nodes ---------------------------------------------------------------------------------------------------

    def subscribe(self, channel: str) -> primitives.Subscription:
        """Return an open subscription. In a cluster any node serves it, because each hears what is published at any."""
        nodes: list[Address | None] = [None]
        if self._sentinel is not None:
            self._master_client()
            nodes = [self._master]
        elif self.is_cluster:
            self._node_of(0)
            nodes = [*dict.fromkeys(self._slots.values())]
            random.shuffle(nodes)
        problem: Exception = ConnectFailed("no node is known")
        for node in nodes:
            connect = connector(self._engine, self._timeout, node, is_idle=True)
            subscription = primitives.Subscription(connect, self._timeout, channel)
            try:
                subscription.open()
            except ConnectFailed as found:
                problem = found
                continue
            self._subscription = subscription
            return subscription
        raise problem

    def send_to_all(self, command: Command) -> list[Any]:
        """Return the reply of every node."""
        if not self.is_cluster:
            return self.send("", command)
        return [(client.send(command))[0] for client in self._masters()]

    def scan(self, pattern: str) -> Iterator[bytes]:
        """Yield the keys of every node that match a pattern, some perhaps twice. Reads the whole keyspace: for repairs only."""
        if self.is_cluster:
            clients = self._masters()
        else:
            clients = [self._master_client() if self._sentinel is not None else self._server()]
        for client in clients:
            cursor: Argument = 0
            while True:
                (reply,) = client.send(("SCAN", cursor, "MATCH", pattern, "COUNT", 1000))
                if isinstance(reply, Exception):
                    raise reply
                cursor, keys = reply
                for key in keys:
                    yield key
                if int(cursor) == 0:
                    break

    def _masters(self) -> list[primitives.NodeClient]:
        self._node_of(0)
        return [self._client_of(node) for node in sorted(set(self._slots.values()))]

    def close(self) -> None:
        """Close all connections for good."""
        self._closed.set()
        for client in [self._single, self._sentinel, *self._clients.values()]:
            if client is not None:
                client.close()
        self._engine.release()

    def _new_client(self, node: Address | None) -> primitives.NodeClient:
        connect = connector(self._engine, self._timeout, node)
        return primitives.NodeClient(connect, self._timeout, self._max_connections)

    def _client_of(self, node: Address) -> primitives.NodeClient:
        if node not in self._clients:
            self._clients[node] = self._new_client(node)
        return self._clients[node]
