"""`top` on a server: one screen for a pipe, and a live view that survives restarts, resizes and signals."""

from __future__ import annotations

import json
import os
import signal
import termios

import pytest

from redis_sessions import SessionCache
from tests.cli.terminal import Terminal, terminal
from tests.support.command_line import run
from tests.support.servers import Server, await_true

X = {"role": "user", "content": "x"}


def press(view: Terminal, keys: str) -> None:
    """Type into a terminal."""
    os.write(view.master, keys.encode())


def test_pipe_gets_everything_with_whole_ids(own_server: Server) -> None:
    """A pipe has totals, problems, agents and sessions, and no text can control a terminal."""
    with SessionCache.from_url(own_server.url) as cache:
        child = cache.create("root", user_id="mia").spawn("researcher", task="t").raise_if_refused().session_key
        cache.create("held").append(X, X)
        broken = cache.create("broken", agent_id="bold")
        broken.pause(reason="\x1b[31mwhy")
        cache.session(child or "").fail(reason="\x1b[2J [bold]it")
        with cache.session("held").lease(ttl=60, owner="worker-7"):
            await_true(lambda: len(cache.leases().items) == 1 and cache.count(active_only=True) == 3)
            done = run("top", "--url", own_server.url)
            found = json.loads(run("top", "--json", "--url", own_server.url).stdout)
    assert (done.returncode, done.stderr, "\x1b" in done.stdout) == (0, "", False)
    assert child is not None
    for part in ("namespace sessions", "3 active, 1 ended", "run failed", child, "\\x1b[2J [bold]it", "worker-7"):
        assert part in done.stdout, part
    rows = {line.split()[0]: line.split() for line in done.stdout.split("spent\n")[1].splitlines()[:3]}
    assert set(rows) == {"root", "held", "broken"}
    assert rows["held"][1] == "active"
    assert rows["broken"][1] == "paused"
    assert {one["id"] for one in found["sessions"]} == set(rows)
    assert found["namespace"] == "sessions"


def test_live_view_follows_changes_and_resizes_until_q(own_server: Server) -> None:
    """The view fills the terminal, and the terminal is restored at the end."""
    with SessionCache.from_url(own_server.url) as cache:
        sessions = [cache.create(f"s{number}") for number in range(40)]
        with terminal("top", "--every", "0.2", "--url", own_server.url, columns=80) as view:
            assert len(view.frame("40 active, 0 ended")) == 24
            assert termios.tcgetattr(view.slave)[3] & (termios.ICANON | termios.ECHO) == 0
            sessions[7].pause()
            view.frame("paused")
            view.resize(10, 60)
            view.process.send_signal(signal.SIGWINCH)
            view.frame("40 active")
            narrow = view.frame("40 active")
            assert (len(narrow), max(map(len, narrow))) == (10, 60)
            press(view, "q")
            assert view.end() == 0
            assert view.output.rstrip().endswith((b"\x1b[?1049l", b"\x1b[?25h"))
            assert b"\x1b[?1049l" in view.output
            assert termios.tcgetattr(view.slave) == view.before


def test_drill_down_shows_messages_attempts_and_tree(own_server: Server) -> None:
    """Enter opens a session, `t` its tree, and Esc goes back."""
    with SessionCache.from_url(own_server.url) as cache:
        root = cache.create("root")
        child = root.spawn("researcher", task="t", label="bags", max_attempts=2).raise_if_refused().session_key
        claimed = cache.claim("researcher", owner="worker-7", wait=10)
        assert claimed is not None
        claimed.append({"role": "assistant", "content": "first\nsecond \x1b[2J"})
        claimed._give_back("failed", problem="ValueError: no currency")
        with terminal("top", "--every", "0.2", "--url", own_server.url, columns=80) as view:
            view.frame("researcher")
            press(view, "/bags\r")
            view.frame("that contain 'bags'")
            press(view, "\x1b[F\r")
            shown = "\n".join(view.frame("MESSAGES"))
            for part in (f"id        {child}", "label     bags", "ValueError: no currency", "second \\x1b[2J"):
                assert part in shown, shown
            press(view, "t")
            assert any("researcher (bags)" in line for line in view.frame("TREE of 2 sessions"))
            press(view, "\x1b")
            view.frame("MESSAGES")
            press(view, "\x1b")
            view.frame("SESSIONS 1 of 2")
            press(view, "q")
            assert view.end() == 0


def test_action_asks_acts_and_is_audited(own_server: Server) -> None:
    """A session is cancelled after a y, and the audit line is on the terminal after the end."""
    with SessionCache.from_url(own_server.url) as cache:
        session = cache.create("doomed")
        with terminal("top", "--allow-actions", "--every", "0.2", "--url", own_server.url, columns=80) as view:
            view.frame("doomed")
            press(view, "c")
            assert any(line.startswith("doomed") for line in view.frame("Cancel this session"))
            press(view, "n")
            view.frame("nothing was done")
            assert session.info().status == "active"
            press(view, "cy")
            view.frame("cancelled: doomed")
            assert session.info().status == "cancelled"
            press(view, "q")
            assert view.end() == 0
            after = view.output.rpartition(b"\x1b[?1049l")[2]
            assert b"audit: cancel by" in after
            assert b"session=doomed" in after


def test_key_of_an_action_does_nothing_without_the_option(own_server: Server) -> None:
    """The view says which option it needs."""
    with SessionCache.from_url(own_server.url) as cache:
        session = cache.create("kept")
        with terminal("top", "--every", "0.2", "--url", own_server.url, columns=80) as view:
            view.frame("kept")
            press(view, "d")
            view.frame("actions need the option --allow-actions")
            press(view, "yq")
            assert view.end() == 0
        assert session.info().status == "active"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["int", "term", "hup"]
)
def test_signal_ends_the_live_view_and_restores_the_terminal(
    own_server: Server, number: signal.Signals, code: int
) -> None:
    """Ctrl-C exits with 0, SIGTERM with 143, and a hang-up with 129."""
    with terminal("top", "--url", own_server.url) as view:
        view.frame("0 active")
        view.process.send_signal(number)
        assert view.end() == code
        assert b"\x1b[?1049l" in view.output
        assert b"Traceback" not in view.output
        assert termios.tcgetattr(view.slave) == view.before


def test_live_view_survives_a_restart_of_the_server(own_server: Server) -> None:
    """The view keeps its last sight under an error that says since when, and goes on when the server is back."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("a")
    with terminal("top", "--every", "0.2", "--url", own_server.url) as view:
        view.frame("1 active")
        own_server.kill()
        assert "1 active" in "".join(view.frame("connection refused, no server listens there, since "))
        own_server.start()
        with SessionCache.from_url(own_server.url) as cache:
            cache.create("b")
        assert "no answer" not in "".join(view.frame("2 active"))
        press(view, "q")
        assert view.end() == 0
        assert b"Traceback" not in view.output


def test_hanging_server_is_noticed_and_keys_still_work(own_server: Server) -> None:
    """A server that is stopped does not stop the view."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("a")
    with terminal("top", "--every", "0.2", "--url", own_server.url) as view:
        view.frame("1 active")
        own_server.pause()
        try:
            view.frame("answer")
            press(view, "?")
            view.frame("KEYS")
            press(view, "\x1b")
            view.frame("PROBLEMS")
            press(view, "q")
            assert view.end() == 0
        finally:
            own_server.resume()


def test_view_of_a_dead_server_says_so_and_comes_to_life(own_server: Server) -> None:
    """A view that begins before the server waits for the server."""
    own_server.kill()
    with terminal("top", "--every", "0.2", "--url", own_server.url) as view:
        view.frame("connection refused")
        own_server.start()
        view.frame("0 active")
        press(view, "q")
        assert view.end() == 0


def test_wrong_duration_exits_with_2_and_dead_server_with_3(own_server: Server) -> None:
    """Standard error says what is wrong, and nothing else is printed."""
    for option in ("--every", "--stuck-after"):
        wrong = run("top", option, "0", "--url", own_server.url)
        assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    own_server.kill()
    down = run("top", "--once", "--url", own_server.url)
    assert (down.returncode, down.stdout, down.stderr.count("error")) == (3, "", 1)
