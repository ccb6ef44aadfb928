"""Pruning by age and by count, throttled across the fleet."""

from __future__ import annotations

import threading
import time

import pytest

from redis_sessions import InvalidInput, SessionCache

X = {"role": "user", "content": "x"}


def left(cache: SessionCache) -> list[str]:
    return [one.id for one in cache.sessions()]


def test_the_most_recently_updated_stay(cache: SessionCache) -> None:
    """So many of them; the others go, with their messages, and their entries."""
    for number in range(5):
        cache.create(f"s{number}")
    cache.session("s0").append(X)
    assert cache.prune(max_sessions=3) == 2
    assert left(cache) == ["s0", "s4", "s3"]
    assert cache.get("s1") is None
    assert cache.count() == 3


def test_the_old_go_first(cache: SessionCache) -> None:
    """Those updated strictly before the cutoff, then what is beyond the count."""
    for name in ("old", "older"):
        cache.create(name)
    time.sleep(0.3)
    for number in range(4):
        cache.create(f"s{number}")
    assert cache.prune(max_age=0.25) == 2
    assert cache.prune(max_sessions=3, max_age=3600) == 1
    assert left(cache) == ["s3", "s2", "s1"]


def test_zero_switches_a_rule_off(cache: SessionCache) -> None:
    """It does not remove everything."""
    cache.create("a")
    assert cache.prune() == 0
    assert cache.prune(max_sessions=0, max_age=0) == 0
    assert left(cache) == ["a"]
    for wrong in ({"max_sessions": -1}, {"max_age": -1}, {"cooldown": float("nan")}):
        with pytest.raises(InvalidInput):
            cache.prune(**wrong)


def test_a_dry_run_only_counts(cache: SessionCache) -> None:
    """And does not use up the cooldown."""
    for number in range(250):
        cache.create(f"s{number}")
    seen: list[int] = []
    assert cache.prune(max_sessions=20, cooldown=60, dry_run=True, progress=seen.append) == 230
    assert len(left(cache)) == 250
    assert cache.prune(max_sessions=20, cooldown=60, progress=seen.append) == 230
    assert seen == [100, 200, 230] * 2
    assert len(left(cache)) == 20


def test_what_is_in_use_stays(cache: SessionCache) -> None:
    """Under a lease, or with active children; a tree goes as a whole, when all of it is done."""
    with cache.create("held").lease():
        busy, done = cache.create("busy"), cache.create("done")
        busy.spawn("a", mode="session")
        child = cache.session(done.spawn("a", mode="session").session_key or "")
        child.complete()
        cache.create("new")
        assert cache.prune(max_sessions=1) == 1
        assert sorted(one for one in left(cache) if ":" not in one) == ["busy", "held", "new"]
        assert cache.get(child.id) is None


def test_once_in_a_cooldown_whoever_asks(cache: SessionCache) -> None:
    """Of all that ask at once, one does it; after the cooldown, one again."""
    counts: list[int] = []

    def ask() -> None:
        counts.append(cache.prune(max_sessions=1, cooldown=1.0))

    for wanted in (3, 1):
        for number in range(4 if wanted == 3 else 1):
            cache.create(f"s{wanted}{number}")
        counts.clear()
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(counts) == [0, 0, 0, 0, 0, wanted]
        assert cache.prune(max_sessions=1, cooldown=1.0) == 0
        time.sleep(1.05)
