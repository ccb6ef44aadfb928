"""Trees on the command line: drawn, spawned, cancelled, swept; and the demo that grows one."""

from __future__ import annotations

import json

from redis_sessions import SessionCache
from tests.cli.running import launch, run
from tests.servers import Server


def test_a_tree_is_drawn(own_server: Server) -> None:
    """Status, agent, label, task, who holds it, why it ended; nothing in it steers the terminal."""
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
        assert "\x1b[2J" not in done.stdout
        assert "  └── ● reader deep active" in done.stdout.replace("\xa0", " ")
        found = json.loads(run("tree", "root", "--url", url, "--json").stdout)
        assert [(one["number"], one["parent"]) for one in found["below"]] == [(1, 0), (2, 1)]
    missing = run("tree", "none", "--url", url)
    assert (missing.returncode, "does not exist" in missing.stderr) == (2, True)


def test_spawn_cancel_and_sweep(own_server: Server) -> None:
    """Each says what came of it; exit 1 is a no."""
    url = own_server.url
    with SessionCache.from_url(url, max_children=1) as cache:
        cache.create("root")
        assert "accepted" in run("spawn", "root", "researcher", "--task", "t", "--url", url).stdout
        refused = run("spawn", "root", "researcher", "--url", url)
        assert (refused.returncode, refused.stdout) == (1, "forbidden (max_children): 1 children are active already\n")
        assert "0 runs and sessions looked after" in run("sweep", "--url", url).stdout
        assert run("sweep", "--every", "soon", "--url", url).returncode == 2
        cancelled = run("cancel", "root", "--reason", "enough", "--url", url)
        assert cancelled.stdout == "cancelled: root, and 1 below it\n"
        assert "enough" in run("tree", "root", "--url", url).stdout
        assert json.loads(run("spawn", "root", "a", "--url", url, "--json").stdout)["reason"] == "parent_cancelled"


def test_the_demo_grows_a_tree() -> None:
    """Three levels, two processes killed, every session completed once."""
    done = launch("demo", "--tree", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    harvest = json.loads(done.stdout)
    assert (harvest["sessions"], harvest["completed"], harvest["killed"], harvest["results"]) == (30, 30, 2, 3)
    assert harvest["again"] > 0
    assert "30 completed" in launch("demo", "--tree").stdout
