"""Conversations of a channel: a session at work is not idle."""

from __future__ import annotations

import time

from redis_sessions import SessionCache
from tests.leases.dead_holders import let_run_out
from tests.support.lease_waiters import elsewhere
from tests.trees.children import X, spawn_child

IDLE_SECONDS = 1.0


def test_held_lease_keeps_conversation_open(cache: SessionCache) -> None:
    """A conversation whose lease is held goes on after its inactivity, and the next one forms after the release."""
    first = cache.conversation("mia", inactivity=IDLE_SECONDS)
    with first.lease():
        time.sleep(1.2 * IDLE_SECONDS)
        assert elsewhere(lambda: cache.conversation("mia", inactivity=IDLE_SECONDS)).id == first.id
    second = cache.conversation("mia", inactivity=IDLE_SECONDS)
    assert second.info().formation.previous_id == first.id


def test_lease_that_ran_out_keeps_no_conversation_open(cache: SessionCache) -> None:
    """A conversation whose holder died is idle after the lease has run out."""
    first = cache.conversation("mia", inactivity=IDLE_SECONDS)
    lease = first.lease(ttl=60)
    lease.acquire()
    let_run_out(lease)
    time.sleep(1.2 * IDLE_SECONDS)
    assert cache.conversation("mia", inactivity=IDLE_SECONDS).id != first.id


def test_active_child_keeps_conversation_open(cache: SessionCache) -> None:
    """A conversation with an active child goes on after its inactivity, and the result of the child extends it."""
    first = cache.conversation("mia", inactivity=IDLE_SECONDS)
    child = spawn_child(first)
    time.sleep(1.2 * IDLE_SECONDS)
    assert cache.conversation("mia", inactivity=IDLE_SECONDS).id == first.id
    child.append(X)
    child.complete("x")
    assert cache.conversation("mia", inactivity=IDLE_SECONDS).id == first.id
    time.sleep(1.2 * IDLE_SECONDS)
    assert cache.conversation("mia", inactivity=IDLE_SECONDS).id != first.id


def test_turn_that_lost_its_agent_keeps_no_conversation_open(cache: SessionCache) -> None:
    """A conversation whose open turn can be claimed by no agent is idle after its inactivity."""
    first = cache.conversation("mia", inactivity=IDLE_SECONDS)
    first.patch(answered_by="a")
    first.send("q")
    first.patch(answered_by=None)
    time.sleep(1.2 * IDLE_SECONDS)
    assert cache.conversation("mia", inactivity=IDLE_SECONDS).id != first.id


def test_ended_conversation_at_work_is_over(cache: SessionCache) -> None:
    """A conversation that ended is not current, although a child of it is still active."""
    first = cache.conversation("mia", inactivity=60)
    child = spawn_child(first, on_parent_end="detach")
    first.complete()
    assert cache.conversation("mia", inactivity=60).info().formation.previous_id == first.id
    child.append(X)
