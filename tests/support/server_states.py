"""States in which a server refuses commands: a failed snapshot, a replica, a user without rights, a long script."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.support.servers import Server, await_true


def url_of_user(server: Server, *rules: str) -> str:
    """Make a user who may do everything but what the rules take away. Return the URL."""
    base = ("reset", "on", ">secret", "~acme:*", "resetchannels", "&acme:*", "+@all")
    server.client.execute_command("ACL", "SETUSER", "worker", *base, *rules)
    return server.url.replace("//", "//worker:secret@")


def break_snapshots(server: Server) -> None:
    """Let the server fail to save a snapshot, so that it refuses writes with MISCONF."""
    (Path(server.folder) / "dump.rdb" / "in-the-way").mkdir(parents=True)
    server.client.config_set("save", "3600 1")
    server.client.bgsave()
    await_true(lambda: server.client.info("persistence")["rdb_last_bgsave_status"] == "err")


def mend_snapshots(server: Server) -> None:
    """Let the server take writes again."""
    server.client.config_set("save", "")


def demote(server: Server) -> None:
    """Make the server a replica of a master that does not exist."""
    server.client.execute_command("REPLICAOF", "127.0.0.1", "1")


def promote(server: Server) -> None:
    """Make the server a master again."""
    server.client.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def busy(server: Server) -> Iterator[None]:
    """Keep a server busy with a script in the block."""
    client = server.client
    client.config_set("lua-time-limit", 20)

    def spin() -> None:
        with pytest.raises(redis.ResponseError):
            client.eval("while true do end", 0)

    thread = threading.Thread(target=spin)
    thread.start()
    with redis.Redis(port=server.port) as other:

        def is_busy() -> bool:
            try:
                other.get("x")
            except redis.ResponseError:
                return True
            return False

        await_true(is_busy)
        try:
            yield
        finally:
            other.script_kill()
            thread.join()
