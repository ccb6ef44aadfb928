"""Workers and holders on the command line."""

from __future__ import annotations

import json
import re
import threading
import time

from redis_sessions import Run, SessionCache
from redis_sessions._core.commands import workers
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.keys import worker_keys
from tests.support.command_line import run
from tests.support.processes import CONTEXT
from tests.support.servers import Server, await_true
from tests.trees.runs import abandon


def add_worker(cache: SessionCache, id: str, owner: str, silent_seconds: int, *holding: str) -> None:
    """Write a worker of agent `researcher` that is silent for some seconds."""
    keys = worker_keys(cache.namespace)
    worker = workers.Registrant(id, owner, ("researcher", "reader"), 4, 30_000)
    cache._executor.run(workers.heartbeat(keys, worker, holding, None))
    cache._executor.run(Call(("ZINCRBY", keys.heard_at, -1000 * silent_seconds, id), keys, lambda reply: reply))


def test_workers_shows_the_living_and_the_dead(own_server: Server) -> None:
    """A worker that died comes first and is shown as dead, and an owner cannot control the terminal."""
    url = own_server.url
    assert run("workers", "--url", url).stdout.startswith("no workers")
    with SessionCache.from_url(url) as cache:
        add_worker(cache, "a1", "worker\x1b[2J", 3, "s1", "s2", "s3", "s4", "s5")
        add_worker(cache, "b2", "worker-2", 180)
        head, first, second = run("workers", "--url", url).stdout.splitlines()
        assert head.split() == ["worker", "state", "heard", "busy", "name", "agents", "holds"]
        assert first.split()[:6] == ["b2", "dead", "3m", "ago", "0/4", "worker-2"]
        assert re.match(r"a1 +alive +\d+s ago +5/4 ", second)
        assert "s1, s2, s3 and 2 more" in second
        assert "\x1b" not in second
        assert "researcher, reader" in second
        assert run("workers", "--agent", "reader", "--url", url).stdout.count("researcher") == 2
        assert run("workers", "--agent", "other", "--url", url).stdout.startswith("no workers")
        page = run("workers", "--limit", "1", "--json", "--url", url)
        found = json.loads(page.stdout)
        assert [(one["id"], one["is_alive"], one["holding"]) for one in found["items"]] == [("b2", False, [])]
        rest = run("workers", "--cursor", found["cursor"], "--json", "--url", url)
        assert [one["id"] for one in json.loads(rest.stdout)["items"]] == ["a1"]
        assert f"more: --cursor '{found['cursor']}'" in run("workers", "--limit", "1", "--url", url).stderr
    wrong = run("workers", "--cursor", "x", "--url", url)
    assert (wrong.returncode, "cursor" in wrong.stderr) == (2, True)


def test_running_worker_is_shown_until_it_stops(own_server: Server) -> None:
    """A worker of `cache.worker` is alive in the list, with the run that it works on."""
    with SessionCache.from_url(own_server.url) as cache:
        stop, release = threading.Event(), threading.Event()

        def handler(run: Run) -> None:
            release.wait(60)

        worker = threading.Thread(target=cache.worker, args=("a", handler), kwargs={"stop": stop}, daemon=True)
        worker.start()
        child = cache.create().spawn("a").session_key
        await_true(lambda: any(one.holding == (child,) for one in cache.workers().items))
        shown = run("workers", "--url", own_server.url).stdout
        assert "alive" in shown
        assert child is not None
        assert child in shown
        release.set()
        stop.set()
        worker.join(60)
        assert run("workers", "--url", own_server.url).stdout.startswith("no workers")


def work_until_killed(url: str) -> None:
    """Work for agent `a`, with a handler that never returns."""
    with SessionCache.from_url(url) as cache:
        cache.worker("a", lambda run: time.sleep(600), ttl=1)


def test_killed_worker_is_shown_as_dead(own_server: Server) -> None:
    """A worker process that was killed is alive before, and dead 3 s after, with the run that it held."""
    process = CONTEXT.Process(target=work_until_killed, args=(own_server.url,), daemon=True)
    process.start()
    with SessionCache.from_url(own_server.url) as cache:
        child = cache.create().spawn("a").session_key
        await_true(lambda: any(one.holding for one in cache.workers().items))
        assert cache.workers().items[0].is_alive
        process.kill()
        process.join()
        await_true(lambda: not cache.workers().items[0].is_alive, 10)
        (dead,) = cache.workers().items
        assert (dead.pid, dead.holding) == (process.pid, (child,))
        assert 3 <= dead.silent_for.total_seconds() < 8
        assert "dead" in run("workers", "--url", own_server.url).stdout


def test_lease_that_ran_out_is_not_shown_as_held(own_server: Server) -> None:
    """A tree and a list of leases show the holder of a lease with its age, and not after the lease ran out."""
    url = own_server.url
    with SessionCache.from_url(url) as cache:
        root = cache.create("root")
        root.spawn("a", task="t")
        claimed = cache.claim("a", owner="worker-1", ttl=2)
        assert claimed is not None
        await_true(lambda: len(cache.leases().items) == 1)
        assert re.search(r"held by worker-1 for \d\.\d s", run("tree", "root", "--url", url).stdout)
        assert re.search(r"worker-1 +1 +\d\.\d s +\d\.\d s", run("lease", "ls", "--url", url).stdout)
        abandon(claimed)
        time.sleep(2.1)
        assert "held by" not in run("tree", "root", "--url", url).stdout
        assert run("lease", "ls", "--url", url).stdout.startswith("no lease is held in namespace sessions on ")
