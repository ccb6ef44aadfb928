"""The fixtures, in a pytest run as a user has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = """
import asyncio

from redis_sessions import AsyncSessionCache

X = {"role": "user", "content": "x"}


def test_fake(fake_session_cache, redis_sessions_clock, session_recorder):
    session = fake_session_cache.create("a", ttl="30m")
    session.append(X)
    assert session_recorder.messages == [("a", X)]
    redis_sessions_clock.advance("31m")
    assert fake_session_cache.get("a") is None


def test_fake_is_empty_again(fake_session_cache):
    assert fake_session_cache.count() == 0


def test_both_share_a_fake(fake_session_cache, fake_async_session_cache):
    async def main():
        async with fake_async_session_cache as cache:
            await (await cache.create("a")).append(X)

    asyncio.run(main())
    assert fake_session_cache.session("a").info().count == 1


def test_both_share_a_server(server_session_cache, server_async_session_cache):
    async def main():
        async with server_async_session_cache as cache:
            await (await cache.create("a")).append(X)

    asyncio.run(main())
    assert server_session_cache.session("a").info().count == 1


def test_server_is_empty_again(server_session_cache):
    assert server_session_cache.count() == 0
"""


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on a folder."""
    root = str(Path(__file__).parent.parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_fixtures_work_in_a_project_of_a_user(tmp_path: Path) -> None:
    """A project that names the plugin gets caches of both kinds on a fake and on a real server, a clock and a recorder."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["redis_sessions.testing.pytest_plugin"]\n')
    (tmp_path / "test_own.py").write_text(TESTS)
    done = run_pytest(tmp_path)
    assert "5 passed" in done.stdout, done.stdout + done.stderr


def test_project_without_the_plugin_does_not_load_the_package(tmp_path: Path) -> None:
    """The pytest of a project that does not name the plugin imports nothing of this package."""
    (tmp_path / "test_own.py").write_text(
        "import sys\n\ndef test_own():\n    assert [name for name in sys.modules if 'redis_sessions' in name] == []\n"
    )
    done = run_pytest(tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_kit_needs_no_pytest() -> None:
    """The kit, apart from the fixtures, can be imported without pytest."""
    code = "import sys; sys.modules['pytest'] = None; import redis_sessions.testing, redis_sessions; print('ok')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "ok\n", done.stderr
