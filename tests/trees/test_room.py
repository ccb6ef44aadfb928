"""Spawns that wait for room in their tree."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from redis_sessions import InvalidInput, SessionCache, SessionNotActive
from tests.support.machine_load import measured_load
from tests.trees.children import X, key_of, spawn_child
from tests.trees.runs import DEADLINE_SECONDS

SOON_SECONDS = 20
"""Far below the waits of these tests."""


def run_later(seconds: float, function: Callable[[], Any]) -> threading.Timer:
    """Call a function in a thread after some seconds."""
    timer = threading.Timer(seconds, function)
    timer.start()
    return timer


@pytest.mark.parametrize("limits", [{"max_children": 1}, {"max_active": 1}, {"max_descendants": 1}])
def test_waiting_spawn_is_woken_by_end_of_child(cache: SessionCache, limits: dict[str, int]) -> None:
    """A spawn that waits for room is accepted soon after a child ends, and spawns once."""
    root = cache.create(**limits)  # type: ignore[arg-type]
    child = spawn_child(root, cleanup="delete")
    ended: list[float] = []

    def complete() -> None:
        child.complete()
        ended.append(time.monotonic())

    timer = run_later(0.3, complete)
    with measured_load() as load:
        result = root.spawn("a", wait=DEADLINE_SECONDS, batch_id="once")
        accepted = time.monotonic()
        timer.join()
        assert result.accepted
        assert accepted - ended[0] < load.allow(0.6, wakeups=4)  # a poll would come after up to a second
    assert root.spawn("a", batch_id="once") == result
    assert len([one for one in root.children() if one.is_active]) == 1


def test_waiting_spawn_sees_end_elsewhere_in_tree(cache: SessionCache) -> None:
    """A spawn that waits below one child is accepted after a session below another child ended."""
    root = cache.create(max_active=3)
    first, second = spawn_child(root), spawn_child(root)
    grandchild = spawn_child(first)
    timer = run_later(0.2, grandchild.complete)
    began = time.monotonic()
    assert second.spawn("a", wait=DEADLINE_SECONDS).accepted
    assert time.monotonic() - began < SOON_SECONDS
    timer.join()


def test_waiting_spawn_returns_refusal_at_its_deadline(cache: SessionCache) -> None:
    """A wait without room ends with the refusal, and other refusals are not waited for."""
    root = cache.create(max_active=1, max_depth=1)
    child = spawn_child(root)
    began = time.monotonic()
    assert root.spawn("a", wait=0.4).reason == "max_active"
    assert 0.4 <= time.monotonic() - began < SOON_SECONDS
    began = time.monotonic()
    assert child.spawn("a", wait=30).reason == "max_depth"
    root.pause()
    assert root.spawn("a", wait=30).reason == "parent_paused"
    assert time.monotonic() - began < 10
    for bad in (-1, "soon", True):
        with pytest.raises(InvalidInput):
            root.spawn("a", wait=bad)


def test_parallel_waiting_spawns_pass_no_bound(cache: SessionCache) -> None:
    """Spawns that wait at once get the places one after the other."""
    root = cache.create(max_children=1, max_descendants=50)
    active: list[int] = []

    def work() -> None:
        child = cache.session(key_of(root.spawn("a", wait=DEADLINE_SECONDS)))
        active.append(len([one for one in root.children() if one.is_active]))
        child.complete()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert active == [1] * 5


def test_cancelled_root_ends_waiting_spawn(cache: SessionCache) -> None:
    """A spawn that waits is refused when its parent is cancelled."""
    root = cache.create(max_active=1)
    spawn_child(root)
    timer = run_later(0.2, partial(root.cancel, reason="enough"))
    began = time.monotonic()
    assert root.spawn("a", wait=DEADLINE_SECONDS).reason == "parent_cancelled"
    assert time.monotonic() - began < SOON_SECONDS
    timer.join()
    with pytest.raises(SessionNotActive):
        root.append(X)
