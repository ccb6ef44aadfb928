"""The published tests of the MCP Python SDK that use an event store, with the event store of redis_sessions."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.integrations.suites.sdists import ROOT, sdist
from tests.support.servers import Server

FILES = [
    "tests/interaction/transports/test_hosting_resume.py",
    "tests/interaction/transports/test_client_transport_http.py",
    "tests/shared/test_streamable_http.py",
    "tests/server/test_streamable_http_router.py",
]
OPTIONS = [
    "--noconftest",
    "-p",
    "no:asyncio",
    "-k",
    "not trio",
    "-o",
    "addopts=",
    "-o",
    "log_cli=false",
    "-W",
    "ignore",
]
"""The SDK's own settings run these tests in asyncio alone, too. Its conftest needs tools that these tests do not use."""


@pytest.mark.parametrize("server", ["valkey-9"], indirect=True)
def test_sdk_suite_passes_with_event_store(server: Server) -> None:
    """All tests of the SDK that use an event store pass, none is left out."""
    plugins = ROOT / "tests" / "integrations" / "suites"
    path = f"{plugins}{os.pathsep}{ROOT}"  # the SDK's tests are a package `tests`, which hides that of redis_sessions
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "mcp_plugin", "-p", "no:cacheprovider", *OPTIONS, *FILES],
        cwd=sdist("mcp"), env={**os.environ, "PYTHONPATH": path, "REDIS_SESSIONS_URL": server.url, "PYTEST_ADDOPTS": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = done.stdout.splitlines()[-1]
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert int(said.split(" passed")[0].split()[-1]) >= 15
