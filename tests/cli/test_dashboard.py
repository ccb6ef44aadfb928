"""The command that serves the dashboard: its addresses, its refusals, and its end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from redis_sessions import SessionCache
from tests.support.command_line import ENVIRONMENT, run
from tests.support.dashboard import confirm, events
from tests.support.servers import Server, await_true
from tests.support.sockets import closed_port

TOKEN = "a-token-of-32-characters-for-test"


class Process:
    """A dashboard that runs, with what it prints."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "-m", "redis_sessions.cli.main", "dashboard", *arguments]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, env=ENVIRONMENT | environment, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        await_true(lambda: bool(self.lines) or self._process.poll() is not None)

    def _read(self) -> None:
        for line in self._process.stderr or ():
            self.lines.append(line.rstrip("\n"))

    @property
    def url(self) -> str:
        """The address that the first line names."""
        found = re.match(r"serving (http://\S+)/ ", self.lines[0])
        assert found is not None, self.lines
        return found[1]

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(30)
        self._reader.join(10)
        return code


@contextmanager
def process(*arguments: str, **environment: str) -> Iterator[Process]:
    """Run a dashboard until the end of the block."""
    started = Process("--listen", "127.0.0.1:0", *arguments, **environment)
    try:
        yield started
    finally:
        started.stop()
    assert not any("Traceback" in line for line in started.lines), started.lines


def get(url: str, **options: Any) -> httpx.Response:
    """Return the answer to a browser."""
    return httpx.get(url, headers={"Accept": "text/html", **options.pop("headers", {})}, timeout=30, **options)


def test_dashboard_shows_a_fleet_and_acts_with_an_audit_line(own_server: Server) -> None:
    """The process reads the server, acts only if it may, writes a line for each order, and ends at SIGTERM with pages open."""
    with SessionCache.from_url(own_server.url, namespace="acme") as cache:
        cache.create("s1", agent_id="writer").append({"role": "user", "content": "x"})
    options = ("--url", own_server.url, "--namespace", "acme")
    with process(*options, "--allow-actions") as running:
        assert running.lines[0].endswith(f"(actions allowed), namespace acme on {own_server.url}")
        with httpx.Client(base_url=running.url, headers={"Accept": "text/html"}, timeout=30) as client:
            assert '<dd data-testid="active">1</dd>' in client.get("/").text
            assert confirm(client, "cancel", "s1", reason="enough").status_code == 303
            with client.stream("GET", "/live/session?id=s1") as stream:
                assert next(events(stream))[0] == "parts"
                assert running.stop() in (0, -signal.SIGTERM)
    orders = [line for line in running.lines if "audit:" in line]
    assert len(orders) == 1
    assert "audit: cancel by dashboard at 127.0.0.1 in acme: session=s1 reason=enough" in orders[0]


def test_dashboard_starts_while_the_server_is_down(own_server: Server) -> None:
    """The page says that the store does not answer, and is right again when the server runs, by itself."""
    with SessionCache.from_url(own_server.url, namespace="acme") as cache:
        cache.create("s1")
    own_server.kill()
    with process("--url", own_server.url, "--namespace", "acme") as running:

        def shows(text: str) -> bool:
            return text in get(running.url).text

        await_true(lambda: shows("The store cannot be read since"))
        assert "(read-only)" in running.lines[0]
        unreadable = get(f"{running.url}/session?id=s1")
        assert (unreadable.status_code, "did not serve for" in unreadable.text) == (503, True)
        own_server.start()
        with httpx.stream("GET", f"{running.url}/live/fleet", timeout=60) as stream:
            next(events(stream))
            await_true(lambda: shows('<dd data-testid="active">1</dd>'))


def test_empty_namespace_is_named_with_its_server(own_server: Server) -> None:
    """A namespace without anything is not an error: the page names it and the URL."""
    with process("--url", own_server.url, "--namespace", "nothing-here") as running:
        html = get(running.url).text
    assert f"Nothing is stored in namespace <strong>nothing-here</strong> on {own_server.url}" in html


def test_token_comes_from_the_environment(own_server: Server) -> None:
    """With a token any address may be listened on, and requests without the token are refused."""
    options = ("--url", own_server.url, "--listen", "0.0.0.0:0")
    with process(*options, REDIS_SESSIONS_DASHBOARD_TOKEN=TOKEN) as running:
        url = running.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(url).status_code == 401
        assert httpx.get(url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30).status_code == 200
        assert httpx.get(url, headers={"Authorization": "Bearer wrong"}, timeout=30).status_code == 401
    assert any("wrong token or password from 127.0.0.1" in line for line in running.lines)
    assert TOKEN not in "".join(running.lines)


def test_clients_of_a_trusted_proxy_are_told_apart(own_server: Server) -> None:
    """The log, the limit of wrong tokens and the cookie follow the headers of a trusted proxy, and of no other sender."""
    token = {"REDIS_SESSIONS_DASHBOARD_TOKEN": TOKEN}

    def guess(url: str, client: str, secret: str = "wrong") -> httpx.Response:
        headers = {"X-Forwarded-For": client, "X-Forwarded-Proto": "https", "Authorization": f"Bearer {secret}"}
        return httpx.get(url, headers=headers, timeout=30)

    with process("--url", own_server.url, "--trusted-proxy", "127.0.0.0/8", **token) as running:
        for _ in range(3):
            assert guess(running.url, "203.0.113.5").status_code == 401
        admitted = guess(running.url, "203.0.113.6", TOKEN)
        assert admitted.status_code == 200
        assert "; Secure" in admitted.headers["set-cookie"]
    assert sum("wrong token or password from 203.0.113.5 for" in line for line in running.lines) == 3
    with process("--url", own_server.url, "--trusted-proxy", "10.0.0.5", **token) as running:
        guess(running.url, "203.0.113.5")
        assert "; Secure" not in guess(running.url, "203.0.113.6", TOKEN).headers["set-cookie"]
    assert any("wrong token or password from 127.0.0.1 for" in line for line in running.lines)


def test_proxy_path_is_in_every_link(own_server: Server) -> None:
    """Behind a proxy the pages link to the path that the proxy shows."""
    with process("--url", own_server.url, "--root-path", "/fleet/") as running:
        assert running.url.endswith("/fleet")
        html = get(running.url + "/").text
    links = re.findall(r'(?:href|src|action)="([^"#]*)"', html)
    assert links
    assert all(link.startswith("/fleet/") for link in links), links


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ("--listen", "0.0.0.0:8380"),
            "--listen: 0.0.0.0 can be reached from other machines: give --token, or --username",
        ),
        (("--listen", "db.example:8380"), "--listen: db.example can be reached from other machines"),
        (("--listen", "[::]:8380"), "--listen: :: can be reached from other machines"),
        (("--listen", "localhost"), "--listen: must be HOST:PORT"),
        (("--listen", "127.0.0.1:99999"), "--listen: must be HOST:PORT"),
        (("--token", "short"), "token: must be 16 or more printable ASCII characters"),
        (("--username", "ops"), "username: and password belong together"),
        (("--root-path", "fleet"), "--root-path: must be a path such as /sessions"),
        (("--trusted-proxy", "proxy.example.com"), "--trusted-proxy: must be an IP address or a network"),
        (("--trusted-proxy", "10.0.0.5/24"), "--trusted-proxy: must be an IP address or a network"),
        (("--stuck-after", "soon"), "stuck_after"),
        (("--max-sessions", "0"), "max_sessions: must be a whole number from 1 to 100000"),
        (("--url", "fake://"), "--url: must name a server or a path"),
        (("--url", "nonsense"), "url"),
    ],
)
def test_wrong_option_is_one_line(arguments: tuple[str, ...], text: str) -> None:
    """Nothing is served, and one line says what to do."""
    done = run("dashboard", *arguments)
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_port_in_use_is_named() -> None:
    """The line names the address, the reason, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken, closed_port() as closed:
        port = taken.getsockname()[1]
        done = run("dashboard", "--listen", f"127.0.0.1:{port}", "--url", f"redis://127.0.0.1:{closed}")
    assert done.returncode == 2
    reason = os.strerror(98)
    assert f"--listen: cannot listen on 127.0.0.1:{port} ({reason}): stop what uses the port" in done.stderr


def test_missing_packages_are_named(tmp_path: Path) -> None:
    """Without the extra the command says what to install."""
    (tmp_path / "starlette.py").write_text("raise ImportError('no starlette here')\n")
    root = Path(__file__).parent.parent.parent
    environment = ENVIRONMENT | {"PYTHONPATH": f"{tmp_path}:{root}"}
    command = [sys.executable, "-m", "redis_sessions.cli.main", "dashboard", "--listen", "127.0.0.1:0"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 2
    assert "pip install 'redis-sessions[dashboard,cli]'" in done.stderr
    assert "Traceback" not in done.stderr
