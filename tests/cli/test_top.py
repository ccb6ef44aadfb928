"""`top`: a frame for a pipe; on a terminal a live view that resizes, outlives its server, and leaves all as it was."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from redis_sessions import SessionCache
from redis_sessions.cli import frame
from tests.cli.running import run
from tests.servers import Server, await_true

X = {"role": "user", "content": "x"}


class Terminal:
    """A terminal of its own, with `redis-sessions top` in it."""

    def __init__(self, *arguments: str) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(24, 100)
        self.before = termios.tcgetattr(self.slave)
        self.output = b""
        command = [sys.executable, "-m", "redis_sessions.cli.main", "top", *arguments]
        environment = {"PATH": "/usr/bin:/bin", "TERM": "xterm-256color"}
        end = self.slave
        self.process = subprocess.Popen(
            command, env=environment, start_new_session=True, stdin=end, stdout=end, stderr=end
        )

    def resize(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self) -> None:
        """What comes within a moment."""
        if select.select([self.master], [], [], 0.1)[0]:
            self.output += os.read(self.master, 65_536)

    def frame(self, text: str) -> list[str]:
        """The lines of the first whole frame from now on that has a text in it."""
        begin = len(self.output)
        due = time.monotonic() + 20
        while True:
            assert time.monotonic() < due, f"no {text!r} in {self.output[begin:][-5000:]!r}"
            assert self.process.poll() is None, self.output[-5000:]
            self.read()
            for drawn in self.output[begin:].split(b"\x1b[H")[1:-1]:
                plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn.decode())
                if text in plain:
                    return plain.replace("\r", "").split("\n")

    def end(self) -> int:
        """Its exit code, once all that it wrote is read."""
        due = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < due:
            self.read()
        self.read()
        return self.process.wait(1)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    found = Terminal(*arguments)
    try:
        yield found
    finally:
        found.close()


def test_a_pipe_gets_one_frame(own_server: Server) -> None:
    """Totals, leases, what waits, what failed, and the sessions that were updated last."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("root", user_id="mia").spawn("researcher", task="t").raise_if_refused()
        cache.create("held").append(X, X)
        cache.create("broken", agent_id="bot", name="\x1b[2J [bold]it").fail(reason="why")
        cache.create("done").complete()
        cache.session("held").lease(ttl=60, owner="worker-7").acquire()
        await_true(lambda: len(cache.leases().items) == 1 and cache.count(active_only=True) == 3)
        done = run("top", "--url", own_server.url)
    assert (done.returncode, done.stderr, "\x1b" in done.stdout) == (0, "", False)
    for part in (
        "namespace sessions",
        "sessions: 3 active, 2 ended",
        "leases held: 1",
        "waiting: researcher · 1 runs for a worker · 0 workers for a run",
        "failed: broken · ",
        "bot · \\x1b[2J [bold]it",
    ):
        assert part in done.stdout, part
    rows = {line.split()[0]: line.split() for line in done.stdout.split("updated\n")[1].splitlines()}
    assert len(rows) == 5
    assert rows["held"][1:] == ["●", "active", "2", "worker-7", *rows["held"][-2:]]


def test_it_lives_on_a_terminal(own_server: Server) -> None:
    """It draws, counts, resizes, and ends by q: the terminal is as it was."""
    with SessionCache.from_url(own_server.url) as cache:
        sessions = [cache.create(f"s{number}") for number in range(40)]
        with terminal("--every", "0.2", "--url", own_server.url) as view:
            assert len(view.frame("40 active, 0 ended")) == 24
            assert termios.tcgetattr(view.slave)[3] & (termios.ICANON | termios.ECHO) == 0
            sessions[7].append(X, X, X)
            row = next(line.split() for line in view.frame("s7 ") if line.startswith("s7 "))
            assert row[:4] == ["s7", "●", "active", "3"]
            view.resize(10, 60)
            view.process.send_signal(signal.SIGWINCH)
            view.frame("messages/s")
            narrow = view.frame("messages/s")
            assert (len(narrow), max(map(len, narrow))) == (10, 60)
            os.write(view.master, b"q")
            assert view.end() == 0
            assert view.output.rstrip().endswith((b"\x1b[?1049l", b"\x1b[?25h"))
            assert b"\x1b[?1049l" in view.output
            assert termios.tcgetattr(view.slave) == view.before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_signals_end_it_cleanly(own_server: Server, number: signal.Signals, code: int) -> None:
    """Ctrl-C quietly, SIGTERM by its code; the terminal is as it was."""
    with terminal("--url", own_server.url) as view:
        view.frame("0 active")
        view.process.send_signal(number)
        assert view.end() == code
        assert b"\x1b[?1049l" in view.output
        assert b"Traceback" not in view.output
        assert termios.tcgetattr(view.slave) == view.before


def test_it_outlives_its_server(own_server: Server) -> None:
    """It says what happened, and goes on when the server is back."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("a")
    with terminal("--every", "0.2", "--url", own_server.url) as view:
        view.frame("1 active")
        own_server.kill()
        assert "1 active" in "".join(view.frame("did not serve for"))
        own_server.start()
        with SessionCache.from_url(own_server.url) as cache:
            cache.create("b")
        assert "did not serve" not in "".join(view.frame("2 active"))
        os.write(view.master, b"q")
        assert view.end() == 0
        assert b"Traceback" not in view.output


def test_what_waits_is_counted(cache: SessionCache) -> None:
    """Runs that no worker has taken, and workers that no run has come for: on every engine."""
    root = cache.create("root")
    root.spawn("busy").raise_if_refused()
    root.spawn("idle").raise_if_refused()
    run = cache.claim("idle", wait=5)
    assert run is not None
    run.complete()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(cache.claim, "idle", wait=1.5)
        await_true(lambda: frame.read(cache, None).waiting == {"busy": (1, 0), "idle": (0, 1)})


def test_rates_are_of_what_came_between_two_frames(own_server: Server) -> None:
    """Messages and changes, of sessions that were there and of those that are new."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("old").append(X, X)
        before = frame.read(cache, None)
        assert (before.seconds, before.messages()) == (0.0, {})
        cache.session("old").append(X, X, X)
        cache.create("new").append(X)
        after = frame.read(cache, before)
        assert after.messages() == {"old": 3, "new": 1}
        assert after.changes() == {"old": 1, "new": 1}
        assert after.seconds > 0


def test_mistakes_get_one_line(own_server: Server) -> None:
    """A time that is none, a server that is down without a terminal."""
    wrong = run("top", "--every", "0", "--url", own_server.url)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    own_server.kill()
    down = run("top", "--once", "--url", own_server.url)
    assert (down.returncode, down.stdout, down.stderr.count("\n")) == (3, "", 1)
