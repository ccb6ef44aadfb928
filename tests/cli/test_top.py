"""`top`: one frame for a pipe, and a live view on a terminal that survives a restart of the server."""

from __future__ import annotations

import os
import signal
import termios
from concurrent.futures import ThreadPoolExecutor

import pytest

from redis_sessions import SessionCache
from redis_sessions.cli import frame
from tests.cli.terminal import terminal
from tests.support.command_line import run
from tests.support.servers import Server, await_true

X = {"role": "user", "content": "x"}


def test_pipe_gets_one_frame(own_server: Server) -> None:
    """A frame has totals, leases, queues, failures, and the sessions that changed last."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("root", user_id="mia").spawn("researcher", task="t").raise_if_refused()
        cache.create("held").append(X, X)
        cache.create("broken", agent_id="bot", name="\x1b[2J [bold]it").fail(reason="why")
        cache.create("done").complete()
        with cache.session("held").lease(ttl=60, owner="worker-7"):
            await_true(lambda: len(cache.leases().items) == 1 and cache.count(active_only=True) == 3)
            done = run("top", "--url", own_server.url)
    assert (done.returncode, done.stderr, "\x1b" in done.stdout) == (0, "", False)
    for part in (
        "namespace sessions",
        "sessions: 3 active, 2 ended",
        "leases: 1",
        "queue researcher: 1 run · 0 idle workers",
        "failed: broken · ",
        "bot · \\x1b[2J [bold]it",
    ):
        assert part in done.stdout, part
    rows = {line.split()[0]: line.split() for line in done.stdout.split("updated\n")[1].splitlines()}
    assert len(rows) == 5
    assert rows["held"][1:] == ["●", "active", "2", "worker-7", *rows["held"][-2:]]


def test_live_view_follows_changes_and_resizes_until_q(own_server: Server) -> None:
    """The view fills the terminal, and the terminal is restored at the end."""
    with SessionCache.from_url(own_server.url) as cache:
        sessions = [cache.create(f"s{number}") for number in range(40)]
        with terminal("top", "--every", "0.2", "--url", own_server.url) as view:
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
def test_signal_ends_the_live_view_and_restores_the_terminal(
    own_server: Server, number: signal.Signals, code: int
) -> None:
    """Ctrl-C exits with 0, and SIGTERM exits with 143."""
    with terminal("top", "--url", own_server.url) as view:
        view.frame("0 active")
        view.process.send_signal(number)
        assert view.end() == code
        assert b"\x1b[?1049l" in view.output
        assert b"Traceback" not in view.output
        assert termios.tcgetattr(view.slave) == view.before


def test_live_view_survives_a_restart_of_the_server(own_server: Server) -> None:
    """The view keeps its last frame under an error, and goes on when the server is back."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("a")
    with terminal("top", "--every", "0.2", "--url", own_server.url) as view:
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


def test_waiting_runs_and_workers_are_counted(cache: SessionCache) -> None:
    """A frame counts the runs and the workers that wait in the queue of each agent, on every engine."""
    root = cache.create("root")
    root.spawn("busy").raise_if_refused()
    root.spawn("idle").raise_if_refused()
    run = cache.claim("idle", wait=5)
    assert run is not None
    run.complete()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(cache.claim, "idle", wait=60)
        await_true(lambda: frame.read_frame(cache, None).queues == {"busy": (1, 0), "idle": (0, 1)})
        root.spawn("idle").raise_if_refused()
        claimed = waiting.result()
        assert claimed is not None
        claimed.complete()


def test_frame_counts_messages_and_changes_since_the_frame_before(own_server: Server) -> None:
    """The counts include sessions that are new since the frame before."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("old").append(X, X)
        before = frame.read_frame(cache, None)
        assert (before.seconds, before.messages()) == (0.0, {})
        cache.session("old").append(X, X, X)
        cache.create("new").append(X)
        after = frame.read_frame(cache, before)
        assert after.messages() == {"old": 3, "new": 1}
        assert after.changes() == {"old": 1, "new": 1}
        assert after.seconds > 0


def test_wrong_duration_exits_with_2_and_dead_server_with_3(own_server: Server) -> None:
    """One line on standard error says what is wrong, and nothing else is printed."""
    wrong = run("top", "--every", "0", "--url", own_server.url)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    own_server.kill()
    down = run("top", "--once", "--url", own_server.url)
    assert (down.returncode, down.stdout, down.stderr.count("\n")) == (3, "", 1)
