"""Imports of work: what waited for a worker, a time, children or a resume waits on, and keeps exactly its own tree alive."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redis_sessions import InvalidInput, RunParked, Session, SessionCache
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.keys import session_keys
from tests.support.exports import with_fields
from tests.support.lease_waiters import elsewhere
from tests.support.servers import await_true
from tests.trees.children import X, key_of
from tests.trees.runs import DEADLINE_SECONDS, claim_run, spawn_runs

MONTH = timedelta(days=29)
"""The least life of a session that waits."""


def lives_on(session: Session) -> bool:
    """Return whether a session lives on because it, or a session of its tree, waits."""
    left = session.info().expires_in
    return left is not None and left > MONTH


def test_imported_run_waits_without_expiring(cache: SessionCache, other: SessionCache) -> None:
    """An imported run that waits keeps itself and its root, and both have their own idle ttl after the claim."""
    root = cache.create("root", ttl=60)
    (id,) = spawn_runs(root, "t", ttl=50)
    other.import_sessions(root.export())
    found = [other.session("root"), other.session(id)]
    assert [lives_on(session) for session in found] == [True, True]
    run = claim_run(other)
    assert (run.id, run.task) == (id, "t")
    assert [lives_on(session) for session in found] == [False, False]
    assert [session.info().ttl for session in found] == [timedelta(seconds=60), timedelta(seconds=50)]
    run.release()
    await_true(lambda: lives_on(found[0]), DEADLINE_SECONDS)
    claim_run(other).complete()
    assert not lives_on(found[0])


def test_root_without_its_waiting_children_expires(cache: SessionCache, other: SessionCache) -> None:
    """A root that is imported without its tree is not kept alive by children that are not there, and a paused root is."""
    root = cache.create("root", ttl=60)
    spawn_runs(root, "1", "2")
    other.import_sessions(root.export(tree=False))
    assert not lives_on(other.session("root"))
    root.pause()
    other.import_sessions(root.export(tree=False), on_conflict="replace")
    assert lives_on(other.session("root"))
    other.session("root").resume()
    await_true(lambda: not lives_on(other.session("root")), DEADLINE_SECONDS)


@pytest.mark.parametrize("is_deleted", [True, False])
def test_child_that_is_imported_alone_counts_once(cache: SessionCache, is_deleted: bool) -> None:
    """A run that is imported below an existing root keeps the root as long as it waits, and no longer."""
    root = cache.create("root", ttl=60)
    first, second = spawn_runs(root, "1", "2")
    lines = list(cache.session(first).export(tree=False))
    if is_deleted:
        assert root._executor.run(Call(("DEL", session_keys(cache.namespace, first).session), root._keys, int)) == 1
    cache.import_sessions(lines, on_conflict="replace")
    assert lives_on(root)
    assert {claim_run(cache).id, claim_run(cache).id} == {first, second}
    await_true(lambda: not lives_on(root), DEADLINE_SECONDS)


def test_imported_turn_is_claimed_with_its_requests(cache: SessionCache, other: SessionCache) -> None:
    """An open turn, and one that a worker holds, are claimed after the import with the messages that they are to answer."""
    session = cache.create("chat", ttl=60, answered_by="concierge")
    session.send("Which gate?")
    for is_held in (False, True):
        held = claim_run(cache, "concierge") if is_held else None
        other.import_sessions(session.export(), on_conflict="replace")
        assert lives_on(other.session("chat"))
        turn = claim_run(other, "concierge")
        assert (turn.work, turn.attempt, [one.content for one in turn.requests()]) == ("turn", 1, ["Which gate?"])
        assert not lives_on(other.session("chat"))
        turn.finish({"role": "assistant", "content": "B 7."})
        assert other.claim("concierge") is None
        assert held is None or not held.is_over


def test_imported_delayed_and_parked_runs_go_on(cache: SessionCache, other: SessionCache) -> None:
    """A delayed run is claimed after its time, a paused one after its resume, and a parked one after its child has ended."""
    root = cache.create("root", ttl=60)
    (delayed,) = spawn_runs(root, "d", delay=1.5)
    (parked,) = spawn_runs(root, "p")
    run = claim_run(cache)
    child = key_of(run.spawn("b"))
    with pytest.raises(RunParked) as wish:
        run.can_park = True
        run.wait_for([child])
    run._park(wish.value)
    paused = key_of(root.spawn("c"))
    cache.session(paused).pause()
    other.import_sessions(root.export())
    assert [other.session(id).info().work for id in (delayed, parked, paused)] == ["delayed", "parked", "queued"]
    assert [lives_on(other.session(id)) for id in (delayed, parked, paused)] == [True] * 3
    assert other.claim("c") is None
    other.session(paused).resume()
    assert claim_run(other, "c").id == paused
    claim_run(other, "b").complete("found")
    found = {run.id: run.is_resumed for run in (claim_run(other), claim_run(other))}
    assert found == {delayed: False, parked: True}


def test_imported_inbox_enters_transcript(cache: SessionCache, other: SessionCache) -> None:
    """A message that waited in the inbox for the end of a lease enters the transcript of the imported session."""
    session = cache.create("a", ttl=60)
    with session.lease():
        elsewhere(lambda: cache.session("a").send("x"))
        other.import_sessions(session.export())
    imported = other.session("a")
    await_true(lambda: other.recover() >= 0 and imported.info().inbox_size == 0, DEADLINE_SECONDS)
    assert [message.content for message in imported.history()] == ["x"]


def test_deadline_of_claim_ends_with_export(cache: SessionCache, other: SessionCache) -> None:
    """A run that a worker held is exported as if it was given back, so that its time runs from the next claim."""
    root = cache.create("root", ttl=60)
    spawn_runs(root, "t", run_timeout=2)
    run = claim_run(cache)
    assert run.info().run_deadline is not None
    lines = list(root.export())
    time.sleep(2.1)
    other.import_sessions(lines)
    assert other.session(run.id).info().run_deadline is None
    assert claim_run(other).task == "t"


WORDS = st.sampled_from(
    ["0", "1", "-", "", "-1", "1.5", "x", "9" * 17, "\u0663", "done", "timeout", "failed", '"e"', "\n", "1:" + "a" * 12]
)
RECORDS = {
    "run": "1 3 - - 0 0 1 - 0 0",
    "parked": "1795649003883 1 2:5b0f5b0f5b0f",
    "attempt_log": '1795649003883 1795649003884 failed host:1 "ValueError: x"\n',
    "resumed": "done",
    "idle_ttl": "60000",
    "waiting": "1",
    "waits.1": "1",
    "priority": "7",
    "fairness_key": "tenant",
    "answered_by": "a",
    "retried": "operation",
}
"""Fields that an export can have for the work of a session."""


@st.composite
def damage(draw: st.DrawFn) -> dict[str, str]:
    """Return some records of a session's work, each with a word that was replaced, removed or added."""
    found = {}
    for name in draw(st.lists(st.sampled_from(list(RECORDS)), min_size=1, max_size=4, unique=True)):
        words = RECORDS[name].split(" ")
        at = draw(st.integers(0, len(words)))
        words[at : at + draw(st.integers(0, 1))] = draw(st.lists(WORDS, max_size=1))
        found[name] = " ".join(words)
    return found


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=damage(), of_child=st.booleans())
def test_damaged_work_is_refused_or_harmless(fields: dict[str, str], of_child: bool) -> None:
    """A session whose work is described otherwise is refused, or can be read, checked, claimed and ended."""
    with SessionCache.from_url("fake://") as cache:
        root = cache.create("root", ttl=60)
        root.append(X)
        spawn_runs(root, "t")
        lines = list(root.export())
        root.delete()
        try:
            cache.import_sessions(with_fields(lines, 3 if of_child else 1, **fields))
        except InvalidInput:
            return
        cache.recover()
        for session in (root, *[cache.session(child.id) for child in root.children() if child.is_stored]):
            session = cache.session(session.id)
            session.info()
            session.pause()
            session.resume()
        run = cache.claim("a")
        if run is not None:
            run.fail()
        cache.recover()
        cache.session("root").cancel()
        assert cache.session("root").info().expires_in is not None
        assert not lives_on(cache.session("root"))
