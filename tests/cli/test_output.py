"""Output for every kind of reader: pipes, terminals without UTF-8 or colours, and people who wait."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from redis_sessions import SessionCache, __version__
from redis_sessions.cli import plain
from tests.cli.screens import screen
from tests.cli.terminal import terminal
from tests.support.command_line import run
from tests.support.servers import Server
from tests.support.sockets import closed_port

COMMAND = [sys.executable, "-m", "redis_sessions.cli.main"]
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def launch(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a new interpreter with an environment."""
    return subprocess.run(
        [*COMMAND, *arguments], env=ENVIRONMENT | environment, capture_output=True, timeout=60, check=False
    )


@contextmanager
def silent_port() -> Iterator[int]:
    """Yield a port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("environment", [{"LANG": "C"}, {"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}], ids=str)
def test_output_is_ascii_where_utf8_cannot_be_shown(own_server: Server, environment: dict[str, str]) -> None:
    """Names are escaped, marks have a character of their own, and JSON keeps its value."""
    with SessionCache.from_url(own_server.url) as cache:
        root = cache.create("zürich-✈", name="Zürich ✈")
        root.append({"role": "user", "content": "Wo ist der Koffer? ✈"})
        root.spawn("researcher", task="Fliege nach Zürich")
        cache.documents("notes").put_json("city", {"name": "Zürich ✈"})
    url = ("--url", own_server.url)
    for arguments in (
        ("ls",),
        ("show", "zürich-✈"),
        ("tree", "zürich-✈"),
        ("top",),
        ("watch", "zürich-✈", "--once"),
        ("-h",),
    ):
        done = launch(*arguments, *(() if arguments == ("-h",) else url), **environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii(), done.stdout
        assert done.stderr == b""
    assert b"z\\xfcrich-\\u2708" in launch("ls", *url, **environment).stdout
    found = json.loads(launch("docs", "get", "notes", "city", *url, **environment).stdout)
    assert found == {"name": "Zürich ✈"}
    found = json.loads(launch("top", "--json", *url, **environment).stdout)
    assert "Zürich ✈" in [one["name"] for one in found["sessions"]]


def test_locale_decides_only_where_it_says_c() -> None:
    """A locale that is not set, and an encoding that was asked for, keep UTF-8."""

    class Stream:
        encoding = "utf-8"

        def reconfigure(self, encoding: str | None, errors: str) -> None:
            self.encoding = encoding or self.encoding

    def encoding(**environment: str) -> str:
        stream = Stream()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdout", stream)
            patch.setattr("sys.stderr", Stream())
            plain.use_plain_output(environment)
        return stream.encoding

    assert encoding() == encoding(LANG="en_US.UTF-8") == encoding(LANG="C", LC_ALL="C.UTF-8") == "utf-8"
    assert encoding(LANG="C", PYTHONIOENCODING="utf-8") == encoding(LANG="C", PYTHONUTF8="1") == "utf-8"
    assert encoding(LANG="C", LC_CTYPE="en_US.UTF-8") == "utf-8"
    assert encoding(LANG="C") == encoding(LC_ALL="POSIX") == encoding(LANG="C", LC_CTYPE="C.UTF-8") == "ascii"


def test_no_color_is_honoured(own_server: Server) -> None:
    """A terminal gets no colour with NO_COLOR, and colours without it."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("a")
    colours = re.compile(rb"\x1b\[[0-9;]*\b(3[0-7]|4[0-7]|9[0-7])m")
    for environment, has_colours in (({}, True), ({"NO_COLOR": "1"}, False)):
        with terminal("ls", "--url", own_server.url, environment=environment) as view:
            assert view.end() == 0
        assert bool(colours.search(view.output)) is has_colours, view.output


def test_reader_that_ends_is_no_error(own_server: Server) -> None:
    """A pipe whose reader ended, such as head, makes the exit code 141, and nothing is printed."""
    with SessionCache.from_url(own_server.url) as cache:
        for number in range(300):
            cache.create(f"session-{number}-{'x' * 200}")
    for arguments in (
        ("ls", "--limit", "1000"),
        ("ls", "--limit", "1000", "--json"),
        ("top",),
        ("show", "session-1-" + "x" * 200),
    ):
        process = subprocess.Popen(
            [*COMMAND, *arguments, "--url", own_server.url],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == (b"", 141), arguments
        process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_output_is_one_line_and_an_exit_code_of_its_own(own_server: Server) -> None:
    """An output on a full disk makes the exit code 4 and one line on standard error, and the command has done its work."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("support-42").append({"role": "user", "content": "hi"})
        cache.documents("notes").put("city", "Rome")
    for arguments in (
        ("ls",),
        ("ls", "--json"),
        ("show", "support-42"),
        ("show", "support-42", "--json"),
        ("tree", "support-42"),
        ("top", "--once"),
        ("export", "support-42"),
        ("docs", "get", "notes", "city"),
        ("send", "support-42", "hello"),
        ("doctor",),
    ):
        with Path("/dev/full").open("wb") as full:
            command = [*COMMAND, *arguments, "--url", own_server.url]
            done = subprocess.run(
                command, env=ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
            )
        assert done.returncode == 4, (arguments, done.stderr)
        assert done.stderr.decode().startswith("error cannot write the output: No space left on device. "), arguments
        assert done.stderr.count(b"\n") == 1, done.stderr
    with SessionCache.from_url(own_server.url) as cache:
        assert cache.open("support-42").history()[-1].content == "hello"


def test_closed_streams_stop_no_command(own_server: Server) -> None:
    """A command works without standard input, output and error. A closed input is an empty one."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("support-42")
    command = " ".join(COMMAND)
    for line, code in (
        (f"{command} ls --url {own_server.url} >&-", 0),
        (f"{command} ls --url {own_server.url} <&- >&- 2>&-", 0),
        (f"{command} show missing-1 --url {own_server.url} 2>&-", 1),
        (f"{command} send support-42 - --url {own_server.url} <&-", 2),
        (f"{command} send support-42 hello --url {own_server.url} <&- >&- 2>&-", 0),
    ):
        done = subprocess.run(line, shell=True, env=ENVIRONMENT, capture_output=True, timeout=60, check=False)
        assert done.returncode == code, (line, done.stderr)
        assert b"Traceback" not in done.stderr
    with SessionCache.from_url(own_server.url) as cache:
        assert [message.content for message in cache.open("support-42").history()] == ["hello"]


def test_help_version_and_completion() -> None:
    """-h means --help everywhere, --version prints the version, and shells can complete commands."""
    for arguments in (("-h",), ("ls", "-h"), ("lease", "-h"), ("lease", "ls", "-h")):
        assert run(*arguments).stdout == run(*arguments[:-1], "--help").stdout != ""
    assert run("--version").stdout == f"redis-sessions {__version__}\n"
    assert "--install-completion" in run("-h").stdout
    shown = launch(_REDIS_SESSIONS_COMPLETE="source_bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert b"Traceback" not in shown.stderr


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("closed", "connection refused, no server listens there"),
        ("no-such-host.invalid", "unknown host"),
        ("silent", "no answer"),
    ],
)
def test_command_that_waits_says_why_within_a_second(host: str, reason: str) -> None:
    """The first line on standard error comes soon, and says what the command waits for."""
    with silent_port() as silent, closed_port() as closed:
        place = {"closed": f"127.0.0.1:{closed}", "silent": f"127.0.0.1:{silent}"}.get(host, f"{host}:6379")
        process = subprocess.Popen(
            [*COMMAND, "ls", "--url", f"redis://{place}"],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            assert process.stderr is not None
            os.set_blocking(process.stderr.fileno(), True)
            line = process.stderr.readline().decode()
            assert process.poll() is None  # it still waits, so the line did not come with the error at the end
            assert line.startswith("waiting for "), line
            assert "at most 10 s: " in line
            assert reason in line
        finally:
            process.kill()
            process.communicate()


def test_wrong_kind_of_port_is_named(own_server: Server) -> None:
    """A port that does not speak TLS gives no answer, and the line says that this can be the reason."""
    down = launch("doctor", "--url", own_server.url.replace("redis:", "rediss:"))
    assert down.returncode == 3
    assert b"Perhaps the port does not speak TLS" in down.stderr or b"SSL" in down.stderr
    plain_port = run("ls", "--namespace", "x", "--url", own_server.url)
    assert "TLS" not in plain_port.stderr


def test_ctrl_c_while_waiting_exits_with_130() -> None:
    """The wait ends at once, without a traceback."""
    with closed_port() as port:
        process = subprocess.Popen(
            [*COMMAND, "ls", "--url", f"redis://127.0.0.1:{port}"],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert b"Traceback" not in process.stderr.read()
        process.communicate()


def test_empty_answers_name_namespace_and_server(own_server: Server) -> None:
    """An operator sees at once that a command looked elsewhere."""
    url = own_server.url
    place = f"in namespace other on {url}"
    at = ("--namespace", "other", "--url", url)
    assert run("ls", *at).stderr == f"no sessions {place}\n"
    assert run("workers", *at).stdout == f"no workers {place}\n"
    assert run("workers", "--agent", "a", *at).stdout == f"no workers of agent a {place}\n"
    assert run("lease", "ls", *at).stdout == f"no lease is held {place}\n"
    assert run("docs", "ls", *at).stderr == f"no documents {place}\n"
    missing = run("show", "gone", *at)
    assert missing.returncode == 1
    assert f"Searched: {place.removeprefix('in ')}. Check the ID" in missing.stderr


def test_watch_once_prints_what_happened_and_ends(own_server: Server) -> None:
    """The cursor of the last event is where the next watch goes on."""
    url = ("--url", own_server.url)
    with SessionCache.from_url(own_server.url) as cache:
        session = cache.create("a")
        session.append({"role": "user", "content": "x"}, {"role": "user", "content": "y"})
        events = [json.loads(line) for line in run("watch", "a", "--once", "--json", *url).stdout.splitlines()]
        assert [(one["seq"], one["cursor"], one["is_final"]) for one in events] == [
            (1, "1-0", False),
            (2, "2-0", False),
        ]
        session.append({"role": "user", "content": "z"})
        rest = run("watch", "a", "--once", "--cursor", events[-1]["cursor"], *url).stdout
        assert [line[9:] for line in rest.splitlines()] == ["    3 user      z"]
    for arguments, told in (
        (("--once", "--from-now"), "takes --once or --from-now, got both"),
        (("--cursor", "1-0", "--after-seq", "1"), "takes one of --after-seq, --from-now and --cursor, got both"),
        (("--cursor", "x"), "cursor"),
    ):
        wrong = run("watch", "a", *arguments, *url)
        assert (wrong.returncode, told in wrong.stderr) == (2, True), wrong.stderr


def test_terminal_that_watches_is_told_what_it_watches(own_server: Server) -> None:
    """A watch in which nothing happens is not silent on a terminal."""
    with SessionCache.from_url(own_server.url) as cache:
        cache.create("a")
    shown = screen(("watch", "a", "--timeout", "300ms", "--url", own_server.url))
    assert shown.startswith(f"watching session a in namespace sessions on {own_server.url}. Ctrl-C ends")
