"""Commands that repeat their work until Ctrl-C: an outage is two lines, and no end."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from redis_sessions import (
    AccessDenied,
    NotReplicated,
    OutcomeUnknown,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from redis_sessions.cli import scripts
from redis_sessions.cli.connect import open_cache
from redis_sessions.cli.repeat import repeat
from tests.support.command_line import ENVIRONMENT, run
from tests.support.server_states import busy
from tests.support.servers import Server, await_true

_UNAVAILABLE = StoreUnavailable(where="s", waited=1.0, detail="LOADING")
_PASSING = [
    _UNAVAILABLE,
    StoreFull(where="s"),
    StoreError(where="s", detail="ERR odd"),
    OutcomeUnknown(session_id="a", batch_id=None, waited=1.0, detail="silence", advice="Repeat it"),
    NotReplicated(session_id="a", acked=0, wanted=1, batch_id=None, advice="Repeat it"),
]


def working(*outcomes: Exception | None) -> Callable[[], None]:
    """Return a function that raises each outcome that is an error, and then acts as Ctrl-C."""
    left = iter(outcomes)

    def work() -> None:
        problem = next(left, KeyboardInterrupt())
        if problem is not None:
            raise problem

    return work


@pytest.mark.parametrize("problem", _PASSING, ids=lambda one: type(one).__name__)
def test_outage_is_two_lines_and_no_end(capsys: pytest.CaptureFixture[str], problem: Exception) -> None:
    """A loop prints one line when the server ceases to serve and one when it serves again, and goes on."""
    repeat(working(None, problem, problem, problem, None, None), 0.001)
    begin, end = capsys.readouterr().err.splitlines()
    assert begin == f"{problem}; the checks go on"
    assert end.startswith("the server serves again, after ")


@pytest.mark.parametrize(
    ("problem", "pause"), [(AccessDenied(where="s", detail="WRONGPASS"), 0.001), (_UNAVAILABLE, None)]
)
def test_failure_that_stays_or_single_check_ends(problem: Exception, pause: float | None) -> None:
    """Wrong credentials end a loop, and any failure ends a single check."""
    with pytest.raises(type(problem)):
        repeat(working(problem), pause)


def test_scripts_load_goes_on_after_a_server_that_refuses(
    own_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that answers BUSY, as one that loads its data answers LOADING, lacks no right: the next check loads."""
    with open_cache(own_server.url, "acme", contact=False) as cache:
        with busy(own_server):
            with pytest.raises(StoreUnavailable, match="BUSY"):
                scripts._load(cache)
            assert run("scripts", "load", "--url", own_server.url).returncode == 3
        assert scripts._load(cache)[0] > 0


def test_scripts_load_of_user_without_the_right_says_so(own_server: Server) -> None:
    """A user who may not load scripts gets one line that names the right."""
    own_server.client.execute_command("ACL", "SETUSER", "poor", "on", ">pw", "+@all", "-script|load", "~*", "&*")
    done: Any = run("scripts", "load", "--every", "1s", "--url", own_server.url.replace("://", "://poor:pw@"))
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "needs the right to SCRIPT LOAD" in done.stderr


def test_scripts_load_waits_for_a_server_that_does_not_run_yet(own_server: Server, tmp_path: Path) -> None:
    """`--every` goes on past a server that is down when the command starts, and loads when the server is there."""
    own_server.kill()
    command = [
        sys.executable,
        "-m",
        "redis_sessions.cli.main",
        "scripts",
        "load",
        "--every",
        "100ms",
        "--url",
        own_server.url,
    ]
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("wb") as first, err.open("wb") as second:
        process = subprocess.Popen(command, stdout=first, stderr=second, env=ENVIRONMENT)
        try:
            await_true(lambda: b"the checks go on" in err.read_bytes())
            own_server.start()
            await_true(lambda: b"loaded" in out.read_bytes() and b"serves again" in err.read_bytes())
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert len(err.read_text().splitlines()) == 2
