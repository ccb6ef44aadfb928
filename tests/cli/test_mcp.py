"""`redis-sessions mcp` before it serves: its options, and the package that it needs."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from redis_sessions import InvalidInput
from redis_sessions.cli.mcp import mcp


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"http": "0.0.0.0:8000"}, "--http: must name this machine"),
        ({"http": "db.example:8000"}, "--http: must name this machine"),
        ({"http": "127.0.0.2:8000"}, "--http: must name this machine"),
        ({"http": "[::ffff:127.0.0.1]:8000"}, "--http: must name this machine"),
        ({"http": "localhost"}, "--http: must be HOST:PORT, such as 127.0.0.1:8000, got 'localhost'"),
        ({"http": "localhost:99999"}, "--http: must be HOST:PORT"),
        ({"http": "localhost:-1"}, "--http: must be HOST:PORT"),
        ({"max_messages": 0}, "--max-messages: must be a whole number from 1 to 200, got 0"),
        ({"max_bytes": -1}, "--max-bytes: must be a whole number from 2048 to 1048576, got -1"),
        ({"url": "fake://"}, "--url: must name a server"),
        ({"url": "nonsense"}, "url: "),
    ],
)
def test_wrong_options_are_refused(given: dict[str, Any], expected: str) -> None:
    """A wrong option is refused before anything is served, and the error names the option."""
    with pytest.raises(InvalidInput, match=expected):
        mcp(**{"http": None, "max_messages": 200, "max_bytes": 65_536, **given})


def test_missing_package_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package mcp the command says what to install."""
    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.delitem(sys.modules, "redis_sessions.cli.mcp_server", raising=False)
    with pytest.raises(InvalidInput, match=r"needs the package mcp.*pip install 'redis-sessions\[mcp,cli\]'"):
        mcp(http=None, max_messages=200, max_bytes=65_536, url="redis://localhost")
