"""Pruning by age and by count, with a cooldown that the fleet shares."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from redis_sessions import InvalidInput, SessionCache
from redis_sessions._core.protocol.keys import SessionKeys
from redis_sessions._sync.services import pruner
from redis_sessions._sync.services.deleter import delete_session
from tests.acceptance.store import make_old

X = {"role": "user", "content": "x"}
COOLDOWN_SECONDS = 2.0


def listed(cache: SessionCache) -> list[str]:
    """Return the IDs of all sessions, newest first."""
    return [summary.id for summary in cache.iter_sessions()]


def test_prune_by_count_keeps_most_recently_updated(cache: SessionCache) -> None:
    """The sessions beyond the count are deleted, with their messages and index entries."""
    for number in range(5):
        cache.create(f"s{number}")
    cache.session("s0").append(X)
    assert cache.prune(max_sessions=3) == 2
    assert listed(cache) == ["s0", "s4", "s3"]
    assert cache.get("s1") is None
    assert cache.count() == 3


def test_prune_by_age_deletes_older_sessions_first(cache: SessionCache) -> None:
    """Sessions that were updated before the cutoff are deleted first, then the sessions beyond the count."""
    for name in ("old", "older"):
        cache.create(name)
    for number in range(4):
        cache.create(f"s{number}")
    for name in ("old", "older"):
        make_old(cache, name, hours=2)
    assert cache.prune(max_age=3600) == 2
    assert cache.prune(max_sessions=3, max_age=3600) == 1
    assert listed(cache) == ["s3", "s2", "s1"]


def test_zero_disables_a_prune_rule(cache: SessionCache) -> None:
    """A bound of zero deletes nothing, and a bound below zero is refused."""
    cache.create("a")
    assert cache.prune() == 0
    assert cache.prune(max_sessions=0, max_age=0) == 0
    assert listed(cache) == ["a"]
    for invalid in ({"max_sessions": -1}, {"max_age": -1}, {"cooldown": float("nan")}):
        with pytest.raises(InvalidInput):
            cache.prune(**invalid)


def test_dry_run_counts_without_deleting(cache: SessionCache) -> None:
    """A dry run deletes nothing and does not start the cooldown."""
    for number in range(250):
        cache.create(f"s{number}")
    seen: list[int] = []
    assert cache.prune(max_sessions=20, cooldown=60, dry_run=True, progress=seen.append) == 230
    assert len(listed(cache)) == 250
    assert cache.prune(max_sessions=20, cooldown=60, progress=seen.append) == 230
    assert seen == [100, 200, 230] * 2
    assert len(listed(cache)) == 20


def test_session_in_use_is_not_pruned(cache: SessionCache) -> None:
    """A session with a held lease or with active children stays, and a finished tree is deleted as a whole."""
    with cache.create("held").lease():
        busy, done = cache.create("busy"), cache.create("done")
        busy.spawn("a", mode="session")
        child = cache.session(done.spawn("a", mode="session").session_key or "")
        child.complete()
        cache.create("new")
        assert cache.prune(max_sessions=1) == 1
        assert sorted(id for id in listed(cache) if ":" not in id) == ["busy", "held", "new"]
        assert cache.get(child.id) is None


def test_session_that_waits_is_not_pruned(cache: SessionCache) -> None:
    """A session whose message waits for its agent, or that is paused, stays, and goes when nothing waits any more."""
    asked = cache.create("asked", answered_by="a")
    asked.send("question")
    paused = cache.create("paused")
    paused.pause()
    cache.create("new")
    assert cache.prune(max_sessions=1) == 0
    run = cache.claim("a")
    assert run is not None
    run.finish({"role": "assistant", "content": "answer"})
    paused.resume()
    cache.create("newer")
    assert cache.prune(max_sessions=1) == 3


@pytest.mark.parametrize("use", ["append", "lease"])
def test_session_that_is_used_during_the_prune_stays(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    """A root with an ended child, which is written or leased after `prune` looked at it, stays as it is."""
    for name in ("used", "idle"):
        cache.session(cache.create(name).spawn("a", mode="session").session_key or "").complete()
    used = cache.session("used")
    lease = used.lease()

    def delete_later(context: Any, keys: SessionKeys, *arguments: Any, **options: Any) -> bool:
        if keys.id == "used":
            used.append(X) if use == "append" else lease.acquire()
        return bool(delete_session(context, keys, *arguments, **options))

    monkeypatch.setattr(pruner, "delete_session", delete_later)
    cache.create("new")
    assert cache.prune(max_sessions=1) == 1
    assert (used.info().status, cache.get("idle")) == ("active", None)
    if use == "lease":
        lease.release()


def test_concurrent_prunes_run_once_per_cooldown(cache: SessionCache) -> None:
    """One of several concurrent calls prunes, and the next pruning begins after the cooldown."""
    counts: list[int] = []

    def prune() -> None:
        counts.append(cache.prune(max_sessions=1, cooldown=COOLDOWN_SECONDS))

    for wanted in (3, 1):
        for number in range(4 if wanted == 3 else 1):
            cache.create(f"s{wanted}{number}")
        counts.clear()
        threads = [threading.Thread(target=prune) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(counts) == [0, 0, 0, 0, 0, wanted]
        assert cache.prune(max_sessions=1, cooldown=COOLDOWN_SECONDS) == 0
        time.sleep(COOLDOWN_SECONDS + 0.1)
