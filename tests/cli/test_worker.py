"""`worker`: a function as a worker process, its import, its end, and its log."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from redis_sessions import InvalidInput, SessionCache
from redis_sessions._core.commands.run_outcomes import is_async
from redis_sessions.cli.handlers import import_handler
from tests.support.command_line import run
from tests.support.prose import ROOT
from tests.support.servers import Server, await_true

HANDLERS = """
import asyncio, functools, time

def answer(run):
    return f"did {run.task}"

async def answer_async(run):
    await asyncio.sleep(0.01)
    return f"did {run.task}"

def slow(run):
    time.sleep(60)

async def slow_async(run):
    await asyncio.sleep(60)

def broken(run):
    raise ValueError("no\\x1b[2J network")

async def stubborn_async(run):
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

def nothing(): ...
def two(run, other): ...
def yields(run): yield 1

class Agent:
    async def __call__(self, run): ...
    def answer(self, run): ...

agent = Agent()
partly = functools.partial(two, other=1)
PORT = 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder: it has a module of handlers, and modules that cannot be imported."""
    (tmp_path / "my_agents.py").write_text(HANDLERS)
    (tmp_path / "my_missing.py").write_text("import no_such_module\n")
    (tmp_path / "my_fault.py").write_text("\nx = 1 / 0\n")
    (tmp_path / "my_exit.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "my_syntax.py").write_text("def (\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@contextmanager
def worker(folder: Path, server: Server, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that runs `worker` in a folder, and kill it at the end."""
    command = [sys.executable, "-m", "redis_sessions.cli.main", "worker", *arguments, "--url", server.url]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    """Send a signal. Return the exit code and the log."""
    process.send_signal(number)
    _, log = process.communicate(timeout=30)
    return process.returncode, log


@pytest.mark.parametrize(
    ("name", "is_coroutine"),
    [("answer", False), ("answer_async", True), ("agent", True), ("agent.answer", False), ("partly", False)],
)
def test_handler_is_imported_from_the_current_folder(folder: Path, name: str, is_coroutine: bool) -> None:
    """A function, a method, a partial and an object that can be called are handlers."""
    assert is_async(import_handler(f"my_agents:{name}")) is is_coroutine


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("my_agents", "HANDLER: must be MODULE:FUNCTION, such as support.agents:answer, got 'my_agents'"),
        (":answer", "must be MODULE:FUNCTION"),
        (".my_agents:answer", "must be MODULE:FUNCTION"),
        ("no_such:answer", "no module 'no_such' in "),
        ("no_such.deep:answer", "no module 'no_such' in "),
        (
            "my_agents:answr",
            "module 'my_agents' has no 'answr'. It has: answer, answer_async, slow, slow_async, broken",
        ),
        ("my_agents:agent.x", "module 'my_agents' has no 'agent.x'"),
        ("my_agents:PORT", "must name a function, but my_agents:PORT is a value of type int"),
        ("my_agents:Agent", "must name a function, but my_agents:Agent is a class"),
        ("my_agents:yields", "my_agents:yields must return its result, but yields"),
        ("my_agents:nothing", "my_agents:nothing must take one argument, the run, but takes ()"),
        ("my_agents:two", "my_agents:two must take one argument, the run, but takes (run, other)"),
        ("my_missing:x", "cannot import 'my_missing': ModuleNotFoundError: No module named 'no_such_module' ("),
        ("my_fault:x", "my_fault.py, line 2)"),
        ("my_exit:x", "cannot import 'my_exit': SystemExit: 3 ("),
        ("my_syntax:x", "cannot import 'my_syntax': SyntaxError: "),
    ],
)
def test_wrong_handler_is_refused_in_one_line(folder: Path, text: str, error: str) -> None:
    """The error says what was found instead of a function, and where an import failed."""
    with pytest.raises(InvalidInput) as caught:
        import_handler(text)
    assert error in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["answer", "answer_async"])
def test_worker_completes_runs_until_sigterm(folder: Path, own_server: Server, name: str) -> None:
    """A function of either kind gets the runs, and SIGTERM ends the process with exit code 0."""
    with SessionCache.from_url(own_server.url) as cache:
        root = cache.create("trip-7")
        options = ("--agent", "researcher", "--concurrency", "2", "--owner", "worker-1")
        with worker(folder, own_server, f"my_agents:{name}", *options) as process:
            root.spawn("researcher", task="find")
            (child,) = root.join(timeout=30)
            assert (child.status, cache.open(child.id).info().result) == ("completed", "did find")
            code, log = end(process, signal.SIGTERM)
        assert code == 0, log
        begin, working, claimed, *rest, ended = log.splitlines()
        completed, stopping = sorted(
            rest, key=lambda line: "stopping" in line
        )  # join can return before the worker logs
        assert f"INFO redis_sessions.cli.worker: worker worker-1 hands runs of researcher to my_agents:{name}" in begin
        assert "INFO redis_sessions.worker: working for researcher" in working
        assert (f"{child.id} is claimed" in claimed, f"{child.id} is completed" in completed) == (True, True)
        assert "stopping" in stopping
        assert ended.endswith("worker worker-1 ended")


@pytest.mark.parametrize("name", ["slow", "slow_async"])
def test_second_signal_gives_runs_back_at_once(folder: Path, own_server: Server, name: str) -> None:
    """The first signal lets the present run go on, and the second does not wait for the grace."""
    with SessionCache.from_url(own_server.url) as cache:
        root = cache.create("trip-7")
        root.spawn("researcher")
        with worker(folder, own_server, f"my_agents:{name}", "--agent", "researcher", "--json") as process:
            await_true(lambda: any(one.holding for one in cache.workers().items))  # its handler is at work
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGINT)
            time.sleep(1)
            assert process.poll() is None
            assert root.children()[0].lease is not None
            began = time.monotonic()
            code, log = end(process, signal.SIGINT)
        assert (code, time.monotonic() - began < 6) == (0, True), log
        assert (root.children()[0].lease, root.children()[0].status) == (None, "active")
        assert cache.claim("researcher") is not None
        assert {json.loads(line)["level"] for line in log.splitlines()} == {"INFO"}


def test_handler_that_ignores_its_cancellation_does_not_keep_the_process(folder: Path, own_server: Server) -> None:
    """The process ends after the grace although an asyncio handler goes on, and its run was given back before."""
    with SessionCache.from_url(own_server.url) as cache:
        root = cache.create("trip-7")
        root.spawn("researcher")
        arguments = ("my_agents:stubborn_async", "--agent", "researcher", "--grace", "0")
        with worker(folder, own_server, *arguments) as process:
            await_true(lambda: any(one.holding for one in cache.workers().items))  # its handler is at work
            code, log = end(process, signal.SIGTERM)
        assert (code, "ignore their cancellation" in log) == (0, True), log
        assert (root.children()[0].lease, root.children()[0].attempts) == (None, [])


def test_failed_attempt_is_logged_without_control_characters(folder: Path, own_server: Server) -> None:
    """The log has the traceback of the handler, in text with escapes, and in JSON as one line."""
    for arguments in ((), ("--json",)):
        with SessionCache.from_url(own_server.url, namespace=f"n{len(arguments)}") as cache:
            root = cache.create("trip-7")
            root.spawn("researcher", max_attempts=1)
            options = ("--agent", "researcher", "--namespace", cache.namespace, *arguments)
            with worker(folder, own_server, "my_agents:broken", *options) as process:
                (child,) = root.join(timeout=30)
                assert child.status == "failed"
                code, log = end(process, signal.SIGTERM)
        assert code == 0
        assert "\x1b" not in log
        if arguments:
            failed = [json.loads(line) for line in log.splitlines() if "error" in json.loads(line)]
            assert failed[0]["traceback"].endswith("ValueError: no\x1b[2J network")
            assert (failed[0]["event"], failed[0]["attempt"], failed[0]["session_id"]) == ("run_failed", 1, child.id)
        else:
            assert "ValueError: no\\x1b[2J network\n" in log


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("nomodule:x", "--agent", "a"), "error HANDLER: no module 'nomodule'"),
        (("json:loads", "--agent", "a:b"), "error agent_id: "),
        (("json:loads", "--agent", "a", "--ttl", "soon"), "error --ttl: must be a duration from 100ms to 1d"),
        (("json:loads", "--agent", "a", "--grace", "2d"), "error --grace: must be a duration from 0s to 1d"),
        (("json:loads", "--agent", "a", "--owner", "a b"), "error owner: "),
    ],
)
def test_wrong_options_of_a_worker_are_refused(arguments: tuple[str, ...], error: str) -> None:
    """Nothing is connected, and the exit code is 2."""
    done = run("worker", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(error), done.stderr
