"""The README is true: its blocks run, its help is the help, its table names real tests, its ACL line is enough."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from redis_sessions import SessionCache
from redis_sessions.errors import SessionsError
from tests.servers import Server

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def test_every_python_block_runs() -> None:
    """One after the other, as a reader would type them."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 9
    names: dict[str, Any] = {"__name__": "readme"}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"README block {number}", "exec"), names)


def test_the_commands_that_it_shows_print_what_it_shows() -> None:
    """Help texts included."""
    shown = re.findall(r"```console\n\$ redis-sessions ([^\n]*)\n(.*?)```", README, re.DOTALL)
    assert shown
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "100"}
    for arguments, expected in shown:
        command = [sys.executable, "-m", "redis_sessions.cli.main", *arguments.split()]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        printed = [
            line.rstrip()
            for line in done.stdout.replace("python -m redis_sessions.cli.main", "redis-sessions").split("\n")
        ]
        assert [line for line in printed if line] == [line for line in expected.split("\n") if line]


def test_every_command_is_described() -> None:
    """By name."""
    from redis_sessions.cli.commands import app

    for command in app.registered_commands:
        assert command.callback is not None
        assert f"`{command.callback.__name__}" in README


def test_every_promise_names_a_test_that_is_there() -> None:
    """No line of the table is only words."""
    promised = re.findall(r"`(tests/[\w/.]+)`", README)
    assert len(promised) >= 6
    for path in promised:
        assert (ROOT / path).exists(), path


def test_every_error_is_in_the_table() -> None:
    """Those of the package's surface."""
    import redis_sessions

    for name in redis_sessions.__all__:
        value = getattr(redis_sessions, name)
        if isinstance(value, type) and issubclass(value, SessionsError):
            assert f"`{name}`" in README, name


def test_a_user_with_few_rights_is_enough(own_server: Server) -> None:
    """The ACL line, as it stands there."""
    found = re.search(r"ACL SETUSER [^`]*", README)
    assert found
    own_server.client.execute_command(*found[0].split())
    url = f"redis://sessions:password@127.0.0.1:{own_server.port}"
    message = {"role": "user", "content": "x"}
    with SessionCache.from_url(url, namespace="acme") as cache:
        session = cache.create("a", max_messages=4, max_turns=100)
        session.append(*[message] * 9)
        session.pin(9)
        session.unpin(9)
        session.state.add("n")
        session.state.all()
        session.state.clear()
        session.patch(name="x", remove_metadata=("y",))
        session.context()
        session.history()
        session.last_turn()
        session.info()
        session.touch(9999)
        with session.lease() as lease:
            thread = threading.Thread(target=lambda: cache.session("a").lease(5, 5).acquire())
            thread.start()
            while not getattr(lease.info(), "line", None):
                time.sleep(0.01)
            lease.renew()
        thread.join()
        session.lease().release(force=True)
        session.send("x")
        session.clear()
        loop = session.start_loop("l")
        loop.record_usage("s", {"total": 1})
        loop.add_event(1)
        assert loop.events()
        session.append({"role": "user", "content": "x"}, {"role": "user", "content": "y"})
        session.compact(session.info().last_seq - 1, "sum")
        waiting = threading.Timer(0.2, session.spawn, ["a"], {"context": "fork"})
        waiting.start()
        run = cache.claim("a", wait=10)
        assert run is not None
        run.spawn("b").raise_if_refused()
        run.complete("x")
        session.join("any", timeout=5)
        cache.sweep()
        documents = cache.documents("notes")
        documents.put("n", "x")
        documents.put_json("n", 1)
        assert (documents.get("n"), documents.get_json("n"), documents.list().items) == ("x", 1, ["n"])
        assert documents.delete("n")
        cache.documents("other").put("n", "x")
        assert cache.documents("other").delete("n")
        assert cache.categories().items == ["notes"]
        assert next(iter(session.watch())).kind in ("gap", "message")
        session.publish("x")
        cache.create("listed", user_id="mia", tags=["t"])
        assert [one.id for one in cache.list(user="mia").items] == ["listed"]
        assert cache.count(user="mia") == 1
        assert cache.prune(max_age=3600, cooldown=1) == 0
        cache._home.indexes.catch_up()
        assert cache._home.indexes._behind == {}
        cache.conversation("mia").append({"role": "user", "content": "x"})
        session.pause()
        session.complete()
        cache.import_sessions(list(session.export()), existing="replace")
        assert cache.delete("a")
    with SessionCache.from_url(url, namespace="other") as cache, pytest.raises(SessionsError, match="refused access"):
        cache.create()
