"""The events of the log: one line each, with the fields that the declaration names."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from redis_sessions import GiveUp, Retry, Run, SessionCache
from redis_sessions._log_events import EVENTS, LOG_FIELDS
from tests.support.log_events import events_of
from tests.support.servers import await_true
from tests.trees.runs import DEADLINE_SECONDS, spawn_runs
from tests.trees.workers import working

HOSTILE = "line 1\nline 2 \x1b[2J \u202e end"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Yield the log of the package, from DEBUG."""
    with caplog.at_level(logging.DEBUG, "redis_sessions"):
        yield caplog


def names(log: pytest.LogCaptureFixture, session_id: str) -> list[str]:
    """Return the names of the events of a session, in order."""
    return [record.event for record in events_of(log.records, session_id)]


def test_declarations_are_complete() -> None:
    """Each field of an event has a meaning, each meaning is used, and all loggers are below that of the package."""
    used = {field for event in EVENTS.values() for field in event.fields}
    assert used == set(LOG_FIELDS)
    assert {event.logger.split(".")[0] for event in EVENTS.values()} == {"redis_sessions"}
    assert not used & logging.LogRecord("", 0, "", 0, "", None, None).__dict__.keys()


def test_run_that_fails_once_has_an_event_for_each_step(cache: SessionCache, log: pytest.LogCaptureFixture) -> None:
    """The claims, the failed attempt and the end of a run are one event each, with session, run, attempt and worker."""
    parent = cache.create()
    result = parent.spawn("a", task="t").raise_if_refused()

    def handler(run: Run) -> str:
        if run.attempt == 1:
            raise ValueError(HOSTILE)
        return "done"

    with working(cache, handler, owner="w-1"):
        assert parent.join(timeout=DEADLINE_SECONDS)[0].status == "completed"
    id = str(result.session_key)
    found = events_of(log.records, id)
    assert [one.event for one in found] == ["run_claimed", "run_retried", "run_claimed", "run_completed"]
    assert [one.attempt for one in found] == [1, 1, 2, 2]
    facts = {(one.run_id, one.agent_id, one.work, one.worker) for one in found}
    assert facts == {(result.run_id, "a", "run", "w-1")}
    assert (found[1].error_type, found[1].error.endswith(HOSTILE), found[1].delay_s > 0) == ("ValueError", True, True)
    assert "\\x1b[2J" in found[1].getMessage()
    assert found[1].exc_info is not None


@pytest.mark.parametrize(
    ("ending", "event"), [("retry", "run_given_back"), ("give_up", "run_failed"), ("cancel", "run_cancelled")]
)
def test_each_other_way_out_of_a_handler_is_an_event(
    cache: SessionCache, log: pytest.LogCaptureFixture, ending: str, event: str
) -> None:
    """Giving back, giving up, and a cancellation by the handler itself are one event each."""
    (id,) = spawn_runs(cache.create(), "t")
    done = threading.Event()

    def handler(run: Run) -> None:
        if done.is_set():
            return
        done.set()
        if ending == "retry":
            raise Retry(after=0.1)
        if ending == "give_up":
            raise GiveUp("no")
        run.cancel()

    with working(cache, handler):
        await_true(lambda: event in names(log, id), DEADLINE_SECONDS)
    assert names(log, id)[:2] == ["run_claimed", event]


def test_parked_run_and_its_second_claim_are_events(cache: SessionCache, log: pytest.LogCaptureFixture) -> None:
    """A run that waits for a child says so, and is claimed again."""
    parent = cache.create()
    (id,) = spawn_runs(parent, "t")

    def handler(run: Run) -> None:
        if run.agent_id == "a":
            run.spawn("b")
            run.wait_for(timeout=DEADLINE_SECONDS)

    with working(cache, handler, ["a", "b"]):
        assert parent.join(timeout=DEADLINE_SECONDS)[0].status == "completed"
    assert names(log, id) == ["run_claimed", "run_parked", "run_claimed", "run_completed"]


def test_work_of_dead_worker_is_reclaimed(cache: SessionCache, log: pytest.LogCaptureFixture) -> None:
    """The claim after the death of a worker has an event of its own, at WARNING."""
    parent = cache.create()
    (id,) = spawn_runs(parent, "t")
    held = cache.claim("a", ttl=0.3, owner="dead")
    assert held is not None
    held.held._renewer.stop()  # type: ignore[union-attr]
    with working(cache, lambda run: None):
        assert parent.join(timeout=DEADLINE_SECONDS)[0].status == "completed"
    assert [one for one in names(log, id) if one != "lease_lapsed"] == ["run_claimed", "run_reclaimed", "run_completed"]


def test_lost_lease_is_one_event(cache: SessionCache, log: pytest.LogCaptureFixture) -> None:
    """A lease that others released is logged once, however often the holder meets the refusal."""
    session = cache.create("s")
    lease = session.lease(ttl=30, owner="h").acquire()
    session.lease().release(force=True)
    for _ in range(3):
        with pytest.raises(Exception, match="lease"):
            lease.renew()
    (found,) = events_of(log.records, "s")
    assert (found.event, found.worker, found.fence) == ("lease_lost", "h", lease.fence)


def test_turn_has_the_same_events(cache: SessionCache, log: pytest.LogCaptureFixture) -> None:
    """A turn is claimed and completed like a run."""
    session = cache.create("s", answered_by="a")
    session.send("hello")
    with working(cache, lambda turn: turn.append({"role": "assistant", "content": "hi"}) and None):
        await_true(lambda: "run_completed" in names(log, "s"), DEADLINE_SECONDS)
    found = events_of(log.records, "s")
    assert [(one.event, one.work) for one in found] == [("run_claimed", "turn"), ("run_completed", "turn")]


def test_log_that_is_off_costs_no_formatting(cache: SessionCache, caplog: pytest.LogCaptureFixture) -> None:
    """An event below the level of its logger makes no record."""
    with caplog.at_level(logging.ERROR, "redis_sessions"):
        session = cache.create("s", answered_by="a")
        session.send("hello")
        assert cache.claim("a", wait=DEADLINE_SECONDS) is not None
    assert events_of(caplog.records) == []
