"""Trees on the command line: draw, spawn, cancel, recover, and the demo of a tree."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

from redis_sessions import SessionCache
from tests.support.command_line import launch, run
from tests.support.servers import Server


def test_tree_is_drawn_with_tasks_and_holders(own_server: Server) -> None:
    """A tree shows agent, label, task, status and holder, and a task cannot control the terminal."""
    url = own_server.url
    with SessionCache.from_url(url) as cache:
        root = cache.create("root")
        root.spawn("researcher", task="find\x1b[2J [bold]it", label="bags")
        claimed = cache.claim("researcher", owner="worker-1")
        assert claimed is not None
        claimed.spawn("reader", task="deep")
        done = run("tree", "root", "--url", url)
        assert done.returncode == 0, done.stderr
        assert "researcher (bags)" in done.stdout
        assert "[bold]it" in done.stdout
        assert "held by worker-1" in done.stdout
        assert f" · ID {claimed.id}\n" in done.stdout
        assert "\x1b[2J" not in done.stdout
        assert "   └─ ● reader deep active · queued" in done.stdout
        found = json.loads(run("tree", "root", "--url", url, "--json").stdout)
        assert [(one["number"], one["parent"]) for one in found["descendants"]] == [(1, 0), (2, 1)]
    missing = run("tree", "none", "--url", url)
    assert (missing.returncode, "does not exist" in missing.stderr) == (1, True)


def test_spawn_recover_and_cancel_print_their_outcome(own_server: Server) -> None:
    """A spawn that the tree refuses exits with 1, and the others exit with 0."""
    url = own_server.url
    with SessionCache.from_url(url, max_children=1) as cache:
        cache.create("root")
        assert "accepted" in run("spawn", "root", "researcher", "--task", "t", "--url", url).stdout
        refused = run("spawn", "root", "researcher", "--url", url)
        assert (refused.returncode, refused.stdout) == (1, "forbidden (max_children): 1 children are active already\n")
        assert "checked 0 runs and turns in namespace sessions on " in run("recover", "--url", url).stdout
        assert run("recover", "--every", "soon", "--url", url).returncode == 2
        cancelled = run("cancel", "root", "--reason", "enough", "--url", url)
        assert cancelled.stdout == "cancelled: root and 1 descendant\n"
        assert "enough" in run("tree", "root", "--url", url).stdout
        assert json.loads(run("spawn", "root", "a", "--url", url, "--json").stdout)["reason"] == "parent_cancelled"


def test_repeated_recover_survives_an_outage(own_server: Server) -> None:
    """`recover --every` says that the server does not answer, and goes on when it does again."""
    url = f"{own_server.url}?timeout=0.3&retry_for=0.3"
    command = [sys.executable, "-m", "redis_sessions.cli.main", "recover", "--every", "50ms", "--json", "--url", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline()) == {"checked": 0}
        own_server.pause()
        assert "did not serve" in process.stderr.readline()
        own_server.resume()
        for _ in range(3):
            assert json.loads(process.stdout.readline()) == {"checked": 0}
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_demo_of_a_tree_completes_every_session_once() -> None:
    """The demo kills two processes, and all 30 sessions of three levels complete."""
    done = launch("demo", "--tree", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    harvest = json.loads(done.stdout)
    assert (harvest["sessions"], harvest["completed"], harvest["killed"], harvest["results"]) == (30, 30, 2, 3)
    assert harvest["claimed_again"] > 0
    assert "30 completed" in launch("demo", "--tree").stdout
