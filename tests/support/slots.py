"""Slots of a cluster that move from a master to another one."""

from __future__ import annotations

import threading

from tests.support.servers import Server, await_true


def call(node: Server, *command: object) -> object:
    """Return the reply of a node to a command."""
    return node.client.execute_command(*command)


def serves(node: Server, slot: int) -> bool:
    """Return whether a node says that it is the master of a slot."""
    found = call(node, "CLUSTER", "SLOTS")
    assert isinstance(found, list)
    return any(first <= slot <= last and master[1] == node.port for first, last, master, *_ in found)


def move_slot(slot: int, source: Server, target: Server, keys_at_once: int = 1) -> None:
    """Move a slot in steps of some keys, as Redis 6.2 does, while clients write."""
    ids = [str(node.client.execute_command("CLUSTER", "MYID").decode()) for node in (source, target)]
    call(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
    call(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    while keys := call(source, "CLUSTER", "GETKEYSINSLOT", slot, keys_at_once):
        assert isinstance(keys, list)
        call(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "REPLACE", "KEYS", *keys)
        threading.Event().wait(0.02)
    for node in (target, source):
        call(node, "CLUSTER", "SETSLOT", slot, "NODE", ids[1])


def move_slot_at_once(slot: int, source: Server, target: Server) -> None:
    """Move a slot atomically in the background, as Valkey 9 does."""
    call(source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", call(target, "CLUSTER", "MYID"))
    await_true(lambda: serves(target, slot) and not serves(source, slot))
