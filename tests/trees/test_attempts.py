"""Attempts on every engine: what counts as one, what is recorded of it, and what the caller decides about the next."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from itertools import pairwise
from typing import Any

import pytest
from pydantic import BaseModel

from redis_sessions import (
    GiveUp,
    InvalidInput,
    Retry,
    Run,
    SessionCache,
)
from tests.support.servers import await_true
from tests.trees.runs import DEADLINE_SECONDS, abandon, claim_run, spawn_runs
from tests.trees.workers import raising, working


class Answer(BaseModel):
    """A result."""

    text: str
    score: float = 0.5


def outcome_of(cache: SessionCache, handler: Any, *, max_attempts: int = 3, **options: Any) -> Any:
    """Return the ended child of a run that a worker handled."""
    parent = cache.create()
    spawn_runs(parent, "t", max_attempts=max_attempts)
    with working(cache, handler, **options):
        return parent.join(timeout=DEADLINE_SECONDS)[0]


def test_given_back_run_counts_no_attempt(cache: SessionCache) -> None:
    """A run that is given back any number of times, at once or for a while, is still at its first attempt."""
    (id,) = spawn_runs(cache.create(), "t", max_attempts=1)
    for delay in (0, 0, 0.2):
        run = claim_run(cache)
        assert run.attempt == 1
        run.release(delay=delay)
    assert cache.session(id).info().work == "delayed"
    with claim_run(cache) as run:
        assert (run.attempt, run.info().attempt) == (1, 1)
    found = cache.session(id).info()
    assert (found.attempt, found.attempts, found.work) == (0, [], "queued")


def test_last_attempt_counts_after_the_lease_of_an_ended_run_was_freed(cache: SessionCache) -> None:
    """A run that completed still shows its attempt when a later check freed the lease that ran out."""
    parent = cache.create()
    (id,) = spawn_runs(parent, "t", max_attempts=4)
    run = claim_run(cache, ttl=0.1)
    run.complete("done")
    assert cache.session(id).info().attempt == 1
    time.sleep(0.15)
    cache._context.run_queues.advance(run._keys)
    found = cache.session(id).info()
    assert (found.attempt, found.attempts, parent.children()[0].attempt) == (1, [], 1)


def test_last_attempt_counts_after_an_ended_run_was_given_back(cache: SessionCache) -> None:
    """A run that is given back after it completed, because the reply to the end was lost, still shows its attempt."""
    parent = cache.create()
    (id,) = spawn_runs(parent, "t", max_attempts=4)
    run = claim_run(cache)
    run.complete("done")
    cache._context.run_queues.give_back("t", run._keys, run._nonce, "released")
    found = cache.session(id).info()
    assert (found.status, found.attempt, parent.children()[0].attempt) == ("completed", 1, 1)


def test_attempts_are_recorded_in_info_and_children(cache: SessionCache) -> None:
    """Each attempt that failed or whose worker died is shown with its worker, times and error, and no other attempt is."""
    parent = cache.create()
    (id,) = spawn_runs(parent, "t", max_attempts=4)
    claim_run(cache, owner="w0").release()
    abandon(claim_run(cache, ttl=0.4, owner="w1"))

    def handler(run: Run) -> str:
        if run.attempt == 2:
            raise ValueError("no luck")
        return "done"

    with working(cache, handler, owner="w2"):
        (child,) = parent.join(timeout=DEADLINE_SECONDS)
    assert (child.result, child.attempt) == ("done", 3)
    found = cache.session(id).info()
    assert child.attempts == found.attempts
    assert (found.attempt, found.max_attempts, found.work) == (3, 4, None)
    died, failed = found.attempts
    assert (died.outcome, died.worker, failed.outcome, failed.worker) == ("died", "w1", "failed", "w2")
    assert (failed.error, "died" in died.error) == ("ValueError: no luck", True)
    assert found.created_at <= died.started_at < died.ended_at <= failed.started_at <= failed.ended_at
    assert 0.3 < (died.ended_at - died.started_at).total_seconds() < 5


def test_run_fails_with_last_error_of_its_attempts(cache: SessionCache) -> None:
    """A run fails when its attempts are used up, with the error of the last one, or with how many died."""
    child = outcome_of(cache, lambda run: [][run.attempt], max_attempts=2)
    assert (child.status, child.attempt, len(child.attempts)) == ("failed", 2, 2)
    assert child.reason == "IndexError: list index out of range"
    parent = cache.create()
    spawn_runs(parent, "t", max_attempts=2)
    for _ in range(2):
        abandon(claim_run(cache, ttl=0.3))
    await_true(lambda: cache.recover() >= 0 and bool(parent.history()), DEADLINE_SECONDS)
    (child,) = parent.join(timeout=DEADLINE_SECONDS)
    assert (child.status, child.reason) == ("failed", "2 of 2 attempts ended without a result")
    assert [one.outcome for one in child.attempts] == ["died", "died"]


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_last_ten_attempts_are_kept(cache: SessionCache) -> None:
    """Of many attempts the last ten are recorded, and their errors are cut to 500 bytes at a character."""
    child = outcome_of(cache, lambda run: 1 / 0 if run.attempt == 13 else raise_long(), max_attempts=13, backoff=0)
    assert (child.attempt, len(child.attempts)) == (13, 10)
    assert child.attempts[-1].error == "ZeroDivisionError: division by zero"
    assert 490 < len(child.attempts[0].error.encode()) <= 504
    assert child.attempts[0].error.startswith("ValueError: ŝŝ")


def raise_long() -> None:
    """Raise an error with a long text."""
    raise ValueError("ŝ" * 5000)


def test_retry_gives_run_back_for_its_time(cache: SessionCache) -> None:
    """`Retry` gives the run back for a while, as often as the handler likes, and counts no attempt."""
    seen: list[tuple[int, float]] = []

    def handler(run: Run) -> str:
        seen.append((run.attempt, time.monotonic()))
        if len(seen) < 4:
            raise Retry("429", after=0.3)
        return "done"

    child = outcome_of(cache, handler, max_attempts=1)
    assert (child.status, child.result, child.attempts) == ("completed", "done", [])
    assert [attempt for attempt, _ in seen] == [1, 1, 1, 1]
    assert all(b - a >= 0.3 for (_, a), (_, b) in pairwise(seen))


def test_give_up_fails_run_at_once(cache: SessionCache) -> None:
    """`GiveUp` fails the run with its text as the reason, whatever attempts are left."""
    child = outcome_of(cache, raising(GiveUp("the customer is gone")), max_attempts=9)
    assert (child.status, child.reason, child.attempt) == ("failed", "the customer is gone", 1)
    assert [one.outcome for one in child.attempts] == ["failed"]
    assert outcome_of(cache, raising(GiveUp())).reason == "GiveUp"


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_backoff_is_callers(cache: SessionCache) -> None:
    """The pause after a failed attempt is what the caller's function says of the attempt."""
    asked, seen = [], []

    def pause(attempt: int) -> float:
        asked.append(attempt)
        return 0.25 * attempt

    def handler(run: Run) -> None:
        seen.append(time.monotonic())
        raise ValueError

    outcome_of(cache, handler, backoff=pause)
    assert [attempt for attempt in asked if attempt > 0][-2:] == [1, 2]
    assert seen[1] - seen[0] >= 0.25
    assert seen[2] - seen[1] >= 0.5


@pytest.mark.parametrize("engine", ["path"], indirect=True)
@pytest.mark.parametrize(
    ("retry_on", "attempts"),
    [(KeyError, 1), ((KeyError, ValueError), 3), (lambda problem: "ck" in str(problem), 3), (lambda problem: False, 1)],
)
def test_only_errors_of_callers_choice_are_retried(cache: SessionCache, retry_on: Any, attempts: int) -> None:
    """An error that the caller does not name fails the run at once, with the error as the reason."""
    child = outcome_of(cache, raising(ValueError("no luck")), retry_on=retry_on)
    assert (child.attempt, child.reason) == (attempts, "ValueError: no luck")


class Mute(Exception):
    """An error of a caller whose text cannot be made, for example because a field was never set."""

    def __str__(self) -> str:
        return str(self.response)  # type: ignore[attr-defined]


class GiveUpMutely(Mute, GiveUp):
    """A GiveUp without a text."""


@pytest.mark.parametrize("engine", ["path"], indirect=True)
@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (
            ExceptionGroup("two", [ValueError("a"), KeyError("b")]),
            "ExceptionGroup: two (2 sub-exceptions): ValueError: a; KeyError: 'b'",
        ),
        (ValueError("a \udcff b"), "ValueError: a \ufffd b"),
        (ValueError(), "ValueError"),
        (BaseExceptionGroup("x", [KeyboardInterrupt()]), "BaseExceptionGroup: x (1 sub-exception): KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (type("Odd", (BaseException,), {})("y"), "Odd: y"),
        (KeyboardInterrupt("z"), "KeyboardInterrupt: z"),
        (Mute(), "Mute: its text cannot be shown, because __str__ raised AttributeError"),
        (ExceptionGroup("one", [Mute()]), "ExceptionGroup: one (1 sub-exception): Mute: its text cannot be shown, because "
         "__str__ raised AttributeError"),
        (GiveUpMutely(), "its text cannot be shown, because __str__ raised AttributeError"),
    ],
    ids=["exit", "group", "surrogate", "empty", "base-group", "generator", "base", "interrupt", "mute", "mute-group", "mute-end"],
)  # fmt: skip
def test_reason_of_failure_is_its_error(
    cache: SessionCache, problem: BaseException, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every error that leaves a handler is a failed attempt with a reason, and the worker goes on."""
    monkeypatch.setattr(
        logging.getLogger("redis_sessions.worker"), "disabled", True
    )  # pytest-xdist cannot send a traceback with surrogates
    parent = cache.create()
    spawn_runs(parent, "bad", "good", max_attempts=2)

    def handler(run: Run) -> str:
        if run.task == "bad":
            raise problem
        return "done"

    with working(cache, handler):
        bad, good = parent.join(timeout=DEADLINE_SECONDS)
    assert (bad.status, bad.reason, bad.attempt) == ("failed", reason, 1 if isinstance(problem, GiveUp) else 2)
    assert good.result == "done"


def test_exit_of_handler_does_not_end_worker(cache: SessionCache) -> None:
    """`sys.exit` in a handler is a failed attempt of the run, and no more."""
    child = outcome_of(cache, lambda run: sys.exit("out of memory") if run.attempt < 3 else "done")
    assert child.result == "done"
    assert [one.error for one in child.attempts] == ["SystemExit: out of memory"] * 2


def test_long_reason_is_cut(cache: SessionCache) -> None:
    """A reason of 5 MB is cut to 4 KiB in the session, in the message to its parent, and in its tree."""
    parent = cache.create()
    spawn_runs(parent, "t", max_attempts=1)
    with working(cache, raising(ValueError("x" * 5_000_000))):
        (child,) = parent.join(timeout=DEADLINE_SECONDS)
    assert child.reason is not None
    assert len(child.reason.encode()) <= 4096
    assert "cut" in child.reason
    assert parent.info().bytes < 10_000
    spawn_runs(parent, "t")
    claim_run(cache).fail(reason="é" * 3_000_000)
    assert len(str(parent.children()[1].reason).encode()) <= 4096


@pytest.mark.parametrize("engine", ["path"], indirect=True)
@pytest.mark.parametrize(
    ("result", "path"), [(object(), "result"), ({"a": [1, {2, 3}]}, "a"), (float("nan"), "result"), (b"x", "result")]
)
def test_result_that_is_no_json_fails_at_once(cache: SessionCache, result: Any, path: str) -> None:
    """A result that is not JSON fails the run without another attempt, and the reason has the path."""
    calls = []
    child = outcome_of(cache, lambda run: calls.append(1) or result)  # type: ignore[func-returns-value]
    assert len(calls) == 1
    assert (child.status, child.attempt) == ("failed", 1)
    assert "not JSON" in str(child.reason)
    assert path in str(child.reason)


def test_model_is_a_result(cache: SessionCache) -> None:
    """A pydantic model is stored as its JSON, also inside lists and dicts."""
    assert outcome_of(cache, lambda run: Answer(text="x")).result == {"text": "x", "score": 0.5}
    assert outcome_of(cache, lambda run: {"all": [Answer(text="x")]}).result == {"all": [{"text": "x", "score": 0.5}]}


@pytest.mark.parametrize(
    ("problem", "options", "message"),
    [
        (ValueError("no luck"), {}, "[x failed] ValueError"),
        (
            ExceptionGroup("two", [ValueError("no luck"), KeyError("b")]),
            {},
            "[x failed] ExceptionGroup: ValueError; KeyError",
        ),
        (ValueError("no luck"), {"report_errors": True}, "[x failed] ValueError: no luck"),
        (GiveUp("no luck"), {}, "[x failed] no luck"),
    ],
    ids=["type", "group", "text", "give-up"],
)
def test_message_to_parent_has_text_of_error_by_choice_only(
    cache: SessionCache, problem: Exception, options: dict[str, Any], message: str
) -> None:
    """The text of an exception is the reason of the run, and enters the parent's transcript only with `report_errors`."""
    parent = cache.create()
    (id,) = spawn_runs(parent, "t", max_attempts=1, label="x")
    with working(cache, raising(problem), **options):
        parent.join(timeout=DEADLINE_SECONDS)
    (told,) = parent.history()
    assert str(told.content) == message
    assert ("no luck" in str(told.payload)) == ("no luck" in message)
    info = cache.session(id).info()
    assert "no luck" in str(info.reason)
    assert "no luck" in info.attempts[0].error


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_policy_that_raises_does_not_lose_attempts(cache: SessionCache, caplog: pytest.LogCaptureFixture) -> None:
    """A policy of the caller that raises is logged, and the attempt counts all the same."""

    def pause(attempt: int) -> float:
        return 0 if attempt < 2 else "x"  # type: ignore[return-value]

    retry_on = lambda problem: problem.status == 429  # noqa: E731
    child = outcome_of(cache, raising(ValueError("no luck")), retry_on=retry_on, backoff=pause)
    assert (child.reason, child.attempt) == ("ValueError: no luck", 3)
    assert {"retry_on raised", "backoff raised"} <= {record.getMessage().split(",")[0] for record in caplog.records}


@pytest.mark.parametrize(
    "given",
    [
        {"backoff": -1},
        {"backoff": lambda n: "x"},
        {"retry_on": int},
        {"retry_on": 3},
        {"retry_on": (ValueError, 3)},
        {"backoff": lambda n: [][n]},
        {"grace": -1},
        {"stop": True},
        {"stop": asyncio.Event()},
        {"handler": None},
        {"agent_id": 5},
        {"signals": "x"},
        {"signals": 1},
        {"resumable": "no"},
        {"report_errors": None},
        {"until_idle": "false"},
    ],
)
def test_invalid_option_of_worker_is_refused(given: dict[str, Any]) -> None:
    """A worker does not begin with an invalid agent, handler, backoff, choice of errors, grace, event, or flag."""
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache:
        with pytest.raises(InvalidInput, match=next(iter(given))):
            cache.worker(**{"agent_id": "a", "handler": lambda run: None, **given})
        with pytest.raises(InvalidInput, match="after"):
            Retry(after=-1)


def test_error_with_unicode_separators_is_one_attempt(cache: SessionCache) -> None:
    """The text of an exception may hold line separators: it is shown, exported, imported and listed as it is."""
    text = "a\u2028b\u2029c\x85d\x0be"

    def fail(run: Run) -> None:
        raise ValueError(text)

    child = outcome_of(cache, fail, max_attempts=2, backoff=0)
    session = cache.session(child.id)
    assert [one.error for one in session.info().attempts] == [f"ValueError: {text}"] * 2
    cache.import_sessions(session.export(), on_conflict="replace")
    assert [one.error for one in session.info().attempts] == [f"ValueError: {text}"] * 2
    assert cache.monitor().read().is_complete
