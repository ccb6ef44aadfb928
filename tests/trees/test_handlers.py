"""The ways out of a handler in a thread: told within a second, the slot free at once, one line in the log."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redis_sessions import InvalidInput, Retry, Run, Session, SessionCache, SessionNotFound
from tests.support.log_events import events_of
from tests.support.machine_load import measured_load
from tests.support.servers import await_true
from tests.trees.children import X
from tests.trees.runs import DEADLINE_SECONDS, claim_run, spawn_runs
from tests.trees.workers import texts, working

TOLD_SECONDS = 1.0
Stop = Callable[[SessionCache, Session, Session], Any]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Return what has the records of the log."""
    with caplog.at_level(logging.INFO, "redis_sessions"):
        yield caplog


class Stubborn:
    """Ignore `should_stop` until the test lets the handler go on, and then write."""

    def __init__(self, *, listens: bool = False) -> None:
        self.run: Run | None = None
        self.listens = listens
        self.began, self.release, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.told_at = 0.0
        self.refusal: Exception | None = None
        self.others: list[str | None] = []

    def __call__(self, run: Run) -> str:
        if self.began.is_set():
            self.others.append(run.task)
            time.sleep(0.5)
            return "other"
        self.run = run
        self.began.set()
        if run.should_stop.wait(DEADLINE_SECONDS):
            self.told_at = time.monotonic()
        self.release.wait(0 if self.listens else DEADLINE_SECONDS)
        try:
            run.append(X)
        except Exception as problem:
            self.refusal = problem
            raise
        finally:
            self.ended.set()
        return "late"


def cancel(cache: SessionCache, parent: Session, child: Session) -> None:
    """Cancel the run."""
    child.cancel(reason="not needed")


def cancel_parent(cache: SessionCache, parent: Session, child: Session) -> None:
    """Cancel the parent of the run."""
    parent.cancel()


def delete(cache: SessionCache, parent: Session, child: Session) -> None:
    """Delete the run."""
    child.delete()


def time_out(cache: SessionCache, parent: Session, child: Session) -> None:
    """End the run as an operator does."""
    child.time_out(reason="by hand")


STOPS: list[tuple[Stop, str]] = [
    (cancel, "cancelled"), (cancel_parent, "cancelled"), (delete, "deleted"), (time_out, "timed_out"),
]  # fmt: skip


@pytest.mark.parametrize(("stop", "reason"), STOPS, ids=[stop.__name__ for stop, _ in STOPS])
def test_end_by_others_reaches_handler_and_frees_its_slot(
    cache: SessionCache, log: pytest.LogCaptureFixture, stop: Stop, reason: str
) -> None:
    """A handler hears within a second that its run is over, another run has its slot, and its late write is refused."""
    parent, other = cache.create(), cache.create()
    (id,) = spawn_runs(parent, "t")
    handler = Stubborn()
    with working(cache, handler), measured_load() as load:
        assert handler.began.wait(DEADLINE_SECONDS)
        began = time.monotonic()
        stop(cache, parent, cache.session(id))
        spawn_runs(other, "next")
        await_true(lambda: handler.told_at > 0, DEADLINE_SECONDS)
        assert handler.run is not None
        assert handler.run.held.lost.is_set()
        assert handler.run.stop_reason in (reason, "cancelled")  # a run is cancelled before it is deleted
        assert handler.told_at - began < load.allow(TOLD_SECONDS, wakeups=4)
        await_true(lambda: handler.others == ["next"], DEADLINE_SECONDS)
        assert time.monotonic() - began < load.allow(TOLD_SECONDS + 0.5, wakeups=8)
        assert not handler.ended.is_set()
        handler.release.set()
        assert handler.ended.wait(DEADLINE_SECONDS)
        assert handler.refusal is not None
        time.sleep(0.05)
    lines = [record for record in events_of(log.records, id) if record.event != "run_claimed"]
    said = str(handler.run.stop_reason).replace("_", " ")
    assert [(record.levelno, record.getMessage()) for record in lines] == [(logging.INFO, f"run {id} is over: {said}")]
    assert lines[0].exc_info is None


def test_run_timeout_reaches_handler(cache: SessionCache, log: pytest.LogCaptureFixture) -> None:
    """A handler hears when its time is over, counted from the claim, and the run ends then and once."""
    parent = cache.create()
    spawn_runs(parent, "t", run_timeout=0.6)
    time.sleep(0.7)  # in the queue
    handler = Stubborn()
    opened = time.monotonic()
    with working(cache, handler), measured_load() as load:
        assert handler.began.wait(DEADLINE_SECONDS)
        began = time.monotonic()
        assert parent.join(timeout=DEADLINE_SECONDS)[0].status == "timed_out"
        assert time.monotonic() - opened > 0.59
        assert time.monotonic() - began < load.allow(0.6 + TOLD_SECONDS, wakeups=4)
        await_true(lambda: handler.told_at > 0, DEADLINE_SECONDS)
        assert handler.told_at - began < load.allow(0.6 + TOLD_SECONDS, wakeups=6)
        handler.release.set()
        assert handler.ended.wait(DEADLINE_SECONDS)
    assert texts(parent) == ["[a timed_out] run timeout"]
    assert [record.levelno for record in log.records if " is over" in record.getMessage()] == [logging.INFO]


def test_forced_release_reaches_handler(cache: SessionCache, log: pytest.LogCaptureFixture) -> None:
    """A handler whose lease is taken away hears that it lost the run, which another worker then has at once."""
    parent = cache.create()
    (id,) = spawn_runs(parent, "t")
    handler = Stubborn()
    with working(cache, handler, concurrency=2), measured_load() as load:
        assert handler.began.wait(DEADLINE_SECONDS)
        began = time.monotonic()
        cache.session(id).lease().release(force=True)
        await_true(lambda: handler.told_at > 0, DEADLINE_SECONDS)
        assert handler.told_at - began < load.allow(TOLD_SECONDS, wakeups=4)
        assert handler.run is not None
        assert handler.run.stop_reason == "lost"
        await_true(lambda: handler.others == ["t"], DEADLINE_SECONDS)
        assert time.monotonic() - began < load.allow(TOLD_SECONDS + 0.5, wakeups=8)
        assert parent.join(timeout=DEADLINE_SECONDS)[0].result == "other"
        handler.release.set()
        assert handler.ended.wait(DEADLINE_SECONDS)
    lines = [record for record in events_of(log.records, id) if record.event not in ("run_claimed", "run_completed")]
    assert [(record.levelno, record.getMessage()) for record in lines] == [(logging.WARNING, f"run {id} is over: lost")]
    assert all(record.exc_info is None for record in lines)


def test_handler_that_listens_ends_quietly(cache: SessionCache, log: pytest.LogCaptureFixture) -> None:
    """A handler that ends when it is stopped leaves one line in the log, whatever it still tries to write."""
    (id,) = spawn_runs(cache.create(), "t")
    handler = Stubborn(listens=True)
    with working(cache, handler):
        assert handler.began.wait(DEADLINE_SECONDS)
        cache.session(id).cancel()
        assert handler.ended.wait(DEADLINE_SECONDS)
    assert [record.event for record in events_of(log.records, id)] == ["run_claimed", "run_cancelled"]


def test_missing_session_of_others_is_a_failure(cache: SessionCache, log: pytest.LogCaptureFixture) -> None:
    """An error about another session is a failed attempt of the run like any other error."""
    parent = cache.create()
    (id,) = spawn_runs(parent, "t", max_attempts=2)

    def handler(run: Run) -> None:
        cache.session("nowhere").history()

    with working(cache, handler):
        (child,) = parent.join(timeout=DEADLINE_SECONDS)
    assert (child.status, child.attempt) == ("failed", 2)
    assert str(child.reason).startswith("SessionNotFound: ")
    events = [record.event for record in events_of(log.records, id)]
    assert events == ["run_claimed", "run_retried", "run_claimed", "run_failed"]


def test_error_after_end_of_run_is_a_warning(cache: SessionCache, log: pytest.LogCaptureFixture) -> None:
    """A handler that ended its run and raises afterwards leaves the result as it is, and a warning."""
    parent = cache.create()
    spawn_runs(parent, "t")

    def handler(run: Run) -> None:
        run.complete("done")
        raise SessionNotFound(session_id=run.id)

    with working(cache, handler):
        assert parent.join(timeout=DEADLINE_SECONDS)[0].result == "done"
    assert [record.levelno for record in log.records if "raised after its end" in record.getMessage()] == [
        logging.WARNING
    ]
    assert not [record for record in log.records if record.levelno > logging.WARNING]


def test_end_of_grace_tells_handler_before_release(cache: SessionCache, log: pytest.LogCaptureFixture) -> None:
    """At the end of the grace a handler that asks can still write, and its run is given back as the same attempt."""
    parent = cache.create()
    (id,) = spawn_runs(parent, "t", max_attempts=1)
    began = threading.Event()
    seen: list[Any] = []

    def handler(run: Run) -> None:
        began.set()
        seen.append(run.should_stop.wait(DEADLINE_SECONDS))
        seen.append(run.append({"role": "assistant", "content": "so far"}).last_seq)
        seen.append(run.stop_reason)
        run.release()

    with working(cache, handler, grace=0.3) as stop:
        assert began.wait(DEADLINE_SECONDS)
        stop.set()
    assert seen == [True, 1, "shutdown"]
    run = claim_run(cache)
    assert (run.attempt, texts(run)) == (1, ["so far"])
    assert cache.session(id).info().attempts == []
    assert not [record for record in log.records if record.levelno > logging.INFO]


@pytest.mark.parametrize(
    "problem", [RuntimeError("stopped"), SystemExit(3), Retry("stopped")], ids=lambda one: type(one).__name__
)
def test_error_of_stopped_handler_uses_up_no_attempt(
    cache: SessionCache, log: pytest.LogCaptureFixture, problem: BaseException
) -> None:
    """A handler that leaves with an error because the worker stops has its run given back, also in its last attempt."""
    (id,) = spawn_runs(cache.create(), "t", max_attempts=1)
    began = threading.Event()

    def handler(run: Run) -> None:
        began.set()
        if run.should_stop.wait(DEADLINE_SECONDS):
            raise problem

    with working(cache, handler, grace=0) as stop:
        assert began.wait(DEADLINE_SECONDS)
        stop.set()
    assert claim_run(cache).attempt == 1
    info = cache.session(id).info()
    assert (info.status, info.attempts) == ("active", [])
    assert "stopped" in log.text or "SystemExit: 3" in log.text
    assert not [record for record in log.records if record.levelno > logging.INFO]


@pytest.mark.parametrize(("result", "status"), [(None, "active"), ({"done": 1}, "completed")], ids=["nothing", "value"])
def test_stopped_handler_that_returns_a_value_ends_its_run(cache: SessionCache, result: Any, status: str) -> None:
    """A handler that saw the stop, and returns nothing, has its run given back. A value is the result of the run."""
    (id,) = spawn_runs(cache.create(), "t")
    began = threading.Event()

    def handler(run: Run) -> Any:
        began.set()
        return result if run.should_stop.wait(DEADLINE_SECONDS) else "it was not stopped"

    with working(cache, handler, grace=0) as stop:
        assert began.wait(DEADLINE_SECONDS)
        stop.set()
    info = cache.session(id).info()
    assert (info.status, info.result, info.attempts) == (status, result, [])


def test_question_of_stopped_handler_stays_open(cache: SessionCache) -> None:
    """A turn whose handler saw the stop and returned is given back, so that another worker answers."""
    session = cache.create(answered_by="a")
    session.send({"role": "user", "content": "q"})
    began = threading.Event()

    def handler(run: Run) -> None:
        began.set()
        run.should_stop.wait(DEADLINE_SECONDS)

    with working(cache, handler, grace=0) as stop:
        assert began.wait(DEADLINE_SECONDS)
        stop.set()
    assert session.info().work == "queued"
    turn = claim_run(cache)
    assert (turn.work, turn.attempt, len(turn.history())) == ("turn", 1, 1)


def test_handler_that_never_saw_the_stop_has_ended_its_run(cache: SessionCache) -> None:
    """A handler that does not look at `should_stop` returns when it is done, also behind the grace."""
    (id,) = spawn_runs(cache.create(), "t")
    began, goes_on = threading.Event(), threading.Event()

    def let_end(run: Run) -> None:
        await_true(lambda: run.stop_reason == "shutdown")
        goes_on.set()

    def handler(run: Run) -> None:
        threading.Thread(target=let_end, args=(run,)).start()
        began.set()
        goes_on.wait(DEADLINE_SECONDS)

    with working(cache, handler, grace=0) as stop:
        assert began.wait(DEADLINE_SECONDS)
        stop.set()
    assert cache.session(id).info().status == "completed"


def test_retry_of_handler_whose_run_is_over_does_nothing(cache: SessionCache, log: pytest.LogCaptureFixture) -> None:
    """A handler can leave with Retry whatever the reason of the stop is: a cancelled run stays cancelled, without a warning."""
    (id,) = spawn_runs(cache.create(), "t")
    began, ended = threading.Event(), threading.Event()

    def handler(run: Run) -> None:
        began.set()
        run.should_stop.wait(DEADLINE_SECONDS)
        ended.set()
        raise Retry("stopped")

    with working(cache, handler):
        assert began.wait(DEADLINE_SECONDS)
        cache.session(id).cancel()
        assert ended.wait(DEADLINE_SECONDS)
    assert cache.session(id).info().status == "cancelled"
    assert not [record for record in log.records if record.levelno > logging.INFO]


@pytest.mark.parametrize("engine", ["path", "cluster"], indirect=True)
def test_handler_that_ignores_end_of_grace_loses_its_run(cache: SessionCache, log: pytest.LogCaptureFixture) -> None:
    """A handler that goes on after it was told has its run given back some seconds later, and cannot write any more."""
    (id,) = spawn_runs(cache.create(), "t", max_attempts=1)
    handler = Stubborn()
    with working(cache, handler, grace=0.1) as stop, measured_load() as load:
        assert handler.began.wait(DEADLINE_SECONDS)
        stopped_at = time.monotonic()
        stop.set()
        await_true(lambda: handler.told_at > 0, DEADLINE_SECONDS)
        lease = cache.session(id).info().lease
        assert lease is not None
        assert time.monotonic() - stopped_at < load.allow(2.5, wakeups=4)
    assert claim_run(cache).attempt == 1
    handler.release.set()
    assert handler.ended.wait(DEADLINE_SECONDS)
    assert handler.refusal is not None
    assert [record.levelno for record in log.records if "goes on" in record.getMessage()] == [logging.INFO]


def test_run_that_ends_within_grace_is_completed(cache: SessionCache) -> None:
    """A stopped worker claims nothing more, and completes what ends within the grace."""
    parent = cache.create()
    spawn_runs(parent, "1", "2")
    began = threading.Event()

    def handler(run: Run) -> str:
        began.set()
        time.sleep(0.3)
        return "done"

    with working(cache, handler, grace=DEADLINE_SECONDS) as stop:
        assert began.wait(DEADLINE_SECONDS)
        stop.set()
    assert sorted(one.status for one in parent.children()) == ["active", "completed"]


def test_cancelled_turn_reaches_handler(cache: SessionCache) -> None:
    """The handler of a turn hears when its session is cancelled, as that of a run is."""
    session = cache.create(answered_by="a")
    handler = Stubborn(listens=True)
    with working(cache, handler):
        session.send("1")
        assert handler.began.wait(DEADLINE_SECONDS)
        session.cancel()
        assert handler.ended.wait(DEADLINE_SECONDS)
    assert handler.run is not None
    assert (handler.run.work, handler.run.stop_reason) == ("turn", "cancelled")
    assert session.info().last_seq == 1


async def answer_async(run: Run) -> str:
    return "never awaited"


def answer_in_pieces(run: Run) -> Iterator[str]:
    yield "never read"


def answer_nothing() -> str:
    return "never called"


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (answer_async, "must not be async"),
        (answer_in_pieces, "must return its result, but yields"),
        (answer_nothing, r"must take one argument, the run, but takes \(\)"),
    ],
)
def test_handler_that_would_fail_every_run_is_refused(
    cache: SessionCache, handler: Callable[..., Any], problem: str
) -> None:
    """A worker does not begin with a handler that would use up the attempts of every run, and the runs wait."""
    parent = cache.create()
    spawn_runs(parent, "a", max_attempts=1)
    with pytest.raises(InvalidInput, match=f"^handler: {problem}"):
        cache.worker("a", handler, until_idle=True)
    (child,) = parent.children()
    assert (child.status, child.work, child.attempt) == ("active", "queued", 0)
