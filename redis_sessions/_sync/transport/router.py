# Generated from _async/transport/router.py by tools/mirror.py; edit that file.
"""Send a command to the node that serves its slot, and follow a cluster's redirections and a Sentinel service's failovers."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakMethod

from redis.exceptions import NoScriptError, RedisError

from ..._core.protocol.call import Argument, Call, Command
from ..._core.protocol.scripts import Script, load_commands
from ..._core.protocol.transport_errors import (
    ConnectFailed,
    ConnectionLost,
    ServerNotReady,
    TransportError,
)
from ..._fork import run_in_child
from ...engines import Engine
from . import connections, primitives, tasks
from .cluster_nodes import SLOTS, ClusterNodes
from .connect import connector
from .refusals import is_of_replica
from .script_sending import load_and_send
from .sentinel import Address, SentinelResolver, keep_checking

_MAX_SCANS = 3
"""All keys are read again, up to this number of readings, if nodes join or leave the cluster in between."""
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
        self._cluster = ClusterNodes(engine, timeout, max_connections) if engine.nodes else None
        self._hints_loaded: tuple[connections.NodeClient | None, int] = (None, 0)
        self._subscription: connections.Subscription | None = None
        self._closed = tasks.Event()
        self._reset()
        run_in_child(self._reset)

    def _reset(self) -> None:
        if self._cluster is not None:
            self._cluster.reset()
        self._switching = primitives.Lock()
        self._is_checking_master = False
        self._must_find_master = self._sentinel is not None

    def twin(self) -> Router:
        """Return a router with the same settings and one connection of its own to each node."""
        return Router(self._engine, self.timeout, 1)

    def send(
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
        if self._cluster is not None:
            return self._cluster.send(route, command, script, wait, due)
        client = self._single
        if client is None or self._must_find_master:
            client = self._master_client(due)
        before: Sequence[Command] = ()
        try:
            if hints:
                self._load_hints(client, due)
                before = [hint.command for hint in hints]
            replies = client.send(*before, command, wait=wait, due=due)
            if script is not None and isinstance(replies[len(before)], NoScriptError):
                replies = load_and_send(client, before, command, script, wait, due)
        except (ConnectFailed, ConnectionLost):
            self._must_find_master = self._sentinel is not None
            raise
        if is_of_replica(replies[len(before)]):
            self._leave_replica(client)
        return replies

    def _leave_replica(self, client: connections.NodeClient) -> None:
        """Drop the connections to a server that is not a master: its address may lead to another server by now."""
        self._must_find_master = self._sentinel is not None
        client.drop()
        if self._subscription is not None:
            self._subscription.close()

    def send_many(self, commands: Sequence[Routed], due: float, wait: Command | None = None) -> list[Any]:
        """Return the replies to commands with their routes, in order, each with the reply to `wait` of its node.

        Errors of servers and of the transport are values. `wait`: sent to each node behind its commands.

        Nodes are asked one after the other, first that of the first command. Each has an equal share of the time until `due`.

        Cost: one round trip to each node.
        """
        if self._cluster is not None:
            groups = self._cluster.group([route for route, _ in commands], due)
        else:
            groups = {None: [*range(len(commands))]} if commands else {}
        replies: list[Any] = [None] * len(commands)
        for number, (node, positions) in enumerate(groups.items()):
            now = time.monotonic()
            share = (due - now) / (len(groups) - number)
            sent = [commands[at][1] for at in positions]
            try:
                if self._cluster is not None and node is not None:
                    found = self._cluster.send_to(node, sent, wait, now + share)
                else:
                    found = (self._single_client(due)).send(*sent, wait=wait, due=due)
            except TransportError as problem:
                if isinstance(problem, ConnectFailed | ConnectionLost):
                    self._must_find_master = self._sentinel is not None
                found = [problem] * len(positions)
            for at, reply in zip(positions, found, strict=False):
                replies[at] = (reply, found[-1])
        return replies

    def _load_hints(self, client: connections.NodeClient, due: float) -> None:
        """Load the scripts of hints, once for each connection that is opened, because the server may be a new one.

        After a SCRIPT FLUSH on an open connection the write meets NOSCRIPT, too, until some client has loaded the hints again.
        """
        if self._hints_loaded != (client, client.connections_opened):
            client.send(*load_commands(), due=due)
            self._hints_loaded = (client, client.connections_opened)

    # -- a single server, or the master of a Sentinel service --------------------------------------------------------

    def _single_client(self, due: float) -> connections.NodeClient:
        return self._master_client(due) if self._single is None or self._must_find_master else self._single

    def _master_client(self, due: float) -> connections.NodeClient:
        """Return the client of the master. From the first call on the sentinels are asked twice a second."""
        if not self._is_checking_master:
            self._is_checking_master = True
            checker = tasks.try_spawn(keep_checking, WeakMethod(self._check_master), self._closed, self.timeout)
            self._is_checking_master = checker is not None
        known, now = self._single, time.monotonic()
        try:
            return self._check_master(due if known is None else now + (due - now) / 2)
        except (TransportError, RedisError):
            if known is None:
                raise
            return known  # the known master may serve on
        finally:
            self._must_find_master = False

    def _check_master(self, due: float) -> connections.NodeClient:
        """Switch to the master that the sentinels name. Calls in flight to another one are lost, and retried there."""
        assert self._sentinel is not None
        master = self._engine.reachable(self._sentinel.find(due))
        before = None
        with self._switching:
            if master != self._master or self._single is None:
                before, self._single, self._master = self._single, self._new_client(master), master
            client = self._single
        if before is not None:
            before.abandon()
            if self._subscription is not None:
                self._subscription.close()  # waiters ask the new master
        return client

    # -- all nodes ---------------------------------------------------------------------------------------------------

    def subscribe(self, channel: str, due: float) -> connections.Subscription:
        """Return an open subscription. In a cluster any node serves it, because each hears what is published at any.

        Raises TransportError before `due`, and the server's refusals.
        """
        nodes: list[Address | None] = [None]
        if self._sentinel is not None:
            self._single_client(due)
            nodes = [self._master]
        elif self._cluster is not None:
            nodes = [*self._cluster.masters(due)]
            random.shuffle(nodes)
        problem: TransportError = ConnectFailed("no node is known")
        for at, node in enumerate(nodes):
            now = time.monotonic()
            connect = connector(self._engine, self.timeout, node, is_idle=True)
            subscription = connections.Subscription(connect, self.timeout, channel)
            try:
                subscription.open(now + (due - now) / (len(nodes) - at))
            except ConnectFailed as found:
                problem = found
                continue
            self._subscription = subscription
            if self._cluster is not None and node is not None:
                self._cluster.keep_heard(node, subscription)
            return subscription
        raise problem

    def send_to_all(self, command: Command) -> list[Any]:
        """Return the reply of every node."""
        if not self.is_cluster:
            return self.send("", command)
        return [(client.send(command))[0] for client in (self.masters()).values()]

    def scan(self, pattern: str, *, twice: bool = False) -> Iterator[bytes]:
        """Yield the keys of every node that match a pattern, some twice. Reads the whole keyspace: for repairs only.

        All nodes of a cluster are read again if a node joined or left.

        `twice`: read the nodes of a cluster in one order and then in the other one, because the keys of a slot that moves may
        come to a node that was read before.

        Raises TransportError, also if a slot has no master, or if nodes join and leave all the time.
        """
        masters = self.masters(must_be_whole=True)
        for _ in range(_MAX_SCANS):
            there = [*masters.values()]
            for client in [*there, *(there[-2::-1] if twice else ())]:
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
            before, masters = masters, self.masters(must_be_whole=True)
            if masters.keys() == before.keys():
                return
        raise ServerNotReady("nodes joined or left the cluster during each reading of all keys")

    def masters(self, *, must_be_whole: bool = False) -> dict[str, connections.NodeClient]:
        """Return the client of every master by its address. In a cluster the nodes are asked who they are.

        `must_be_whole`: raise ServerNotReady if a slot of a cluster has no master, because its keys would be missed.
        """
        due = time.monotonic() + self.timeout
        if self._cluster is None:
            return {self._engine.where: self._single_client(due)}
        slots = self._cluster.discover(due)
        if must_be_whole and len(slots) < SLOTS:
            raise ServerNotReady(f"{SLOTS - len(slots)} slots of the cluster have no master")
        return {f"{node[0]}:{node[1]}": self._cluster.client_of(node) for node in sorted(set(slots.values()))}

    def close(self) -> None:
        """Close all connections for good."""
        self._closed.set()
        for client in [self._single, self._sentinel, self._cluster]:
            if client is not None:
                client.close()

    def _new_client(self, node: Address | None) -> connections.NodeClient:
        connect = connector(self._engine, self.timeout, node)
        return connections.NodeClient(connect, self.timeout, self._max_connections)
