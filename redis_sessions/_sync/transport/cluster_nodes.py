# Generated from _async/transport/cluster_nodes.py by tools/mirror.py; edit that file.
"""Send a command to the node of a cluster that serves its slot. Find out which node that is, and follow redirections."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
)

from ..._core.protocol.call import Command
from ..._core.protocol.scripts import Script
from ..._core.protocol.transport_errors import (
    ConnectFailed,
    ConnectImpossible,
    ConnectionLost,
    ConnectionRejected,
    ServerNotReady,
)
from ...engines import Engine
from . import connections, primitives
from .connect import connector
from .script_sending import load_and_send
from .sentinel import Address

SLOTS = 16_384
"""The number of slots of every cluster."""
_MAX_REDIRECTIONS = 5


class ClusterNodes:
    """The clients of a cluster's nodes, and the master that serves each slot, as far as this process knows."""

    def __init__(self, engine: Engine, timeout: float, max_connections: int) -> None:
        self._engine = engine
        self._timeout = timeout
        self._max_connections = max_connections
        self._clients: dict[Address, connections.NodeClient] = {}
        self._slots: dict[int, Address] = {}
        self._failed_at: dict[Address, float] = {}
        self._subscription: tuple[Address, connections.Subscription] | None = None
        self.reset()

    def reset(self) -> None:
        """Forget an attempt of the process from which this process was forked."""
        self._discovery = primitives.SharedAttempt[dict[int, Address]](self._timeout)

    def send(self, route: str, command: Command, script: Script | None, wait: Command | None, due: float) -> list[Any]:
        """Return the replies to a command and to `wait`. See Router."""
        slot = key_slot(route.encode())
        node = self._node_of(slot, due)
        slots = self._slots
        before: tuple[Command, ...] = ()
        for _ in range(_MAX_REDIRECTIONS):
            try:
                client = self.client_of(node)
                replies = client.send(*before, command, wait=wait, due=due)
                if script is not None and isinstance(replies[len(before)], NoScriptError):
                    replies = load_and_send(client, before, command, script, wait, due)
            except (ConnectFailed, ConnectionLost):
                self._note_failure(node, slots)
                raise
            reply = replies[len(before)]
            if isinstance(reply, MovedError):  # first, because MovedError is a kind of AskError
                self._slots[slot] = node = self._engine.reachable(reply.node_addr)
                before = ()
            elif isinstance(reply, AskError):
                node, before = self._engine.reachable(reply.node_addr), (("ASKING",),)
            else:
                self._check_serves(node, slots, [reply])
                return replies[len(before) :]
        raise ServerNotReady("the cluster redirected too often")

    def send_to(self, node: Address, commands: Sequence[Command], wait: Command | None, due: float) -> list[Any]:
        """Return the replies of a node to commands and to `wait`, in one round trip. Redirections are values."""
        slots = self._slots
        try:
            replies = self.client_of(node).send(*commands, wait=wait, due=due)
        except (ConnectFailed, ConnectionLost):
            self._note_failure(node, slots)
            raise
        self._check_serves(node, slots, replies)
        return replies

    def client_of(self, node: Address) -> connections.NodeClient:
        """Return the client of a node."""
        if node not in self._clients:
            connect = connector(self._engine, self._timeout, node)
            self._clients[node] = connections.NodeClient(connect, self._timeout, self._max_connections)
        return self._clients[node]

    def _check_serves(self, node: Address, slots: dict[int, Address], replies: Sequence[Any]) -> None:
        """Discover again who serves what, if a node answered that it serves nothing."""
        if any(isinstance(reply, ClusterDownError) for reply in replies):
            self._note_failure(node, slots)

    def _note_failure(self, node: Address, slots: dict[int, Address]) -> None:
        """Discover again who serves what before the next call, unless that was done since `slots`. Ask the node last."""
        self._failed_at[node] = time.monotonic()
        if self._slots is slots:
            self._slots = {}

    def group(self, routes: Sequence[str], due: float) -> dict[Address | None, list[int]]:
        """Return the places of routes by their nodes. Raises TransportError if the node of one of them is not known."""
        groups: dict[Address | None, list[int]] = {}
        for at, route in enumerate(routes):
            groups.setdefault(self._node_of(key_slot(route.encode()), due), []).append(at)
        return groups

    def _node_of(self, slot: int, due: float) -> Address:
        node = self._slots.get(slot)
        if node is None:
            node = (self._discovery.join(partial(self._discover, range(slot, slot + 1)), due)).get(slot)
        if node is None:
            raise ServerNotReady(f"no node of the cluster serves slot {slot}")
        return node

    def discover(self, due: float) -> dict[int, Address]:
        """Return the master of each slot, as the nodes say now. Slots that no master serves are missing."""
        return self._discover(range(SLOTS), due)

    def masters(self, due: float) -> list[Address]:
        """Return the masters that are known, after a discovery if none is."""
        self._node_of(0, due)
        return [*dict.fromkeys(self._slots.values())]

    def _discover(self, wanted: range, due: float) -> dict[int, Address]:
        """Ask the nodes which master serves each slot, until the wanted slots are known. Each has a share of the time left.

        A node that was reset, or that other nodes forgot, answers with no slot or with few.
        """
        problem: Exception = ConnectFailed("no node is known")
        known: dict[int, Address] = {}
        is_answered = False
        nodes = dict.fromkeys([*self._engine.nodes, *self._clients])
        for at, node in enumerate(sorted(nodes, key=lambda node: self._failed_at.get(node, 0.0))):
            now = time.monotonic()
            share = (due - now) / (len(nodes) - at)
            try:
                (reply,) = self.client_of(node).send(("CLUSTER", "SLOTS"), due=now + share)
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
            is_answered = True
            if not reply:
                self._failed_at[node] = time.monotonic()
            known = {**self._read_slots(node, reply), **known}
            if all(slot in known for slot in wanted):
                break
        if not is_answered:
            kind = ConnectImpossible if isinstance(problem, ConnectImpossible) else ConnectFailed
            raise kind(f"no node of the cluster answers ({problem})")
        self._slots = known
        self._close_strayed()
        return known

    def _read_slots(self, node: Address, reply: Any) -> dict[int, Address]:
        return {
            slot: address
            for first, last, master, *_ in reply
            for address in [self._engine.reachable(((master[0] or node[0].encode()).decode(), int(master[1])))]
            for slot in range(first, last + 1)
        }

    def keep_heard(self, node: Address, subscription: connections.Subscription) -> None:
        """Close a subscription as soon as no map names its node as a master: the node may have left, and would hear nothing."""
        self._subscription = (node, subscription)
        self._close_strayed()

    def _close_strayed(self) -> None:
        if self._subscription is not None and self._slots and self._subscription[0] not in self._slots.values():
            (_, subscription), self._subscription = self._subscription, None
            subscription.close()

    def close(self) -> None:
        """Close all connections for good."""
        for client in [*self._clients.values()]:
            client.close()
