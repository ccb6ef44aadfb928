"""Watches on the command line: one line for each event, and a clean end."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from redis_sessions import SessionCache
from tests.support.command_line import run
from tests.support.servers import Server

X = {"role": "user", "content": "x"}


@contextmanager
def watching(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that runs `watch`, and kill it at the end."""
    command = [sys.executable, "-m", "redis_sessions.cli.main", "watch", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    """Return the next line that the process prints."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def test_watch_prints_every_event_until_the_session_ends(own_server: Server) -> None:
    """Lost messages, stored messages, deltas and the end are printed, and no text controls the terminal."""
    with SessionCache.from_url(own_server.url, max_messages=2) as cache:
        session = cache.create("a")
        session.append(X, X, {"role": "assistant", "content": "\x1b[31mred [bold]\nuser faked"}, X)
        with watching("a", "--url", own_server.url) as process:
            assert line(process)[9:] == "messages 1 to 2 are gone"
            assert line(process)[9:] == "    3 assistant \\x1b[31mred [bold]\\nuser faked"
            assert line(process)[9:] == "    4 user      x"
            session.publish({"half": "a wor"})
            assert line(process)[9:] == 'not stored: {"half": "a wor"}'
            session.append({"role": "user", "content": "y" * 1000})
            assert line(process)[9:] == f"    5 user      {'y' * 200}…"
            session.complete()
            assert line(process)[9:] == "status completed"
            assert process.wait(20) == 0
        rest = run("watch", "a", "--after-seq", "4", "--url", own_server.url).stdout.splitlines()
        assert [one[9:] for one in rest] == [f"    5 user      {'y' * 200}…", "status completed"]
        lines = run("watch", "a", "--json", "--url", own_server.url).stdout.splitlines()
        events = [json.loads(one) for one in lines]
        assert [one["kind"] for one in events] == ["gap", "message", "message", "status"]
        assert (events[0]["first_seq"], events[0]["seq"], events[1]["payload"]) == (1, 3, X)
        assert (events[3]["status"], events[3]["change"], events[3]["seq"]) == ("completed", 1, 5)


def test_watch_of_a_user_includes_new_sessions(own_server: Server) -> None:
    """Each line names its session, and sessions that are created later are watched, too."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("old", user_id="mia").append(X)
        with watching("--user", "mia", "--url", own_server.url) as process:
            out = process.stdout
            assert out is not None
            while not select.select([out], [], [], 0.1)[0]:
                cache.session("old").append(X)  # until the watch has begun
            cache.create("new", user_id="mia").append(X)
            seen = [line(process)]
            while not seen[-1].startswith("new", 9):
                seen.append(line(process))
            assert seen[-1][9:] == "new     1 user      x"
            cache.delete("new")
            while not seen[-1].endswith("new the session is gone"):
                seen.append(line(process))
        assert run("watch", "--tree", "old", "--timeout", "0.3", "--url", own_server.url).stdout == ""


def test_edits_are_printed_with_their_first_seq(own_server: Server) -> None:
    """An edit names the first message that it changed, as text and as JSON."""
    with SessionCache.from_url(own_server.url) as cache:
        session = cache.create("a")
        session.append(X, X)
        session.pop()
        session.complete()
    lines = run("watch", "a", "--after-seq", "2", "--url", own_server.url).stdout.splitlines()
    assert [one[9:] for one in lines] == ["messages from 2 on were edited", "status completed"]
    edit = json.loads(run("watch", "a", "--after-seq", "2", "--json", "--url", own_server.url).stdout.splitlines()[0])
    assert (edit["kind"], edit["seq"], edit["first_seq"], edit["change"]) == ("edit", 2, 2, 1)


def test_ctrl_c_ends_the_watch_with_0(own_server: Server) -> None:
    """A watch that is interrupted prints nothing on standard error."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("a").append(X)
        with watching("a", "--url", own_server.url) as process:
            line(process)
            process.send_signal(signal.SIGINT)
            assert (process.wait(20), process.stderr and process.stderr.read()) == (0, "")


def test_silence_of_the_timeout_ends_the_watch_with_0(own_server: Server) -> None:
    """A watch with --from-now prints nothing that happened before."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("a").append(X)
    done = run("watch", "a", "--from-now", "--timeout", "0.2s", "--url", own_server.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_unknown_session_exits_with_1_and_wrong_input_with_2(own_server: Server) -> None:
    """One line on standard error says what is wrong."""
    for code, told, arguments in (
        (1, "does not exist", ("none",)),
        (1, "does not exist", ("--tree", "none")),
        (2, "needs exactly one of", ()),
        (2, "needs exactly one of", ("a", "--user", "mia")),
        (2, "need the ID of one session", ("--user", "mia", "--from-now")),
        (2, "got both", ("a", "--from-now", "--after-seq", "1")),
        (2, "must be a duration", ("a", "--timeout", "soon")),
        (2, "after_seq", ("a", "--after-seq", "-1")),
        (2, "white space", ("a b",)),
    ):
        done = run("watch", *arguments, "--url", own_server.url)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), (arguments, done.stderr)
        assert told in done.stderr, arguments
