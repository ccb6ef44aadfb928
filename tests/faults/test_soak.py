"""A short soak: a fleet works while all faults are injected, and the whole history is checked. `make soak` runs for hours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from redis_sessions import Message, Session, SessionCache
from tests.soak.check_messages import Ledger, check_session
from tests.soak.check_runs import check_runs
from tests.soak.engines import Clustered, Service, service
from tests.soak.plan import CLIENT_FAULTS, MAX_ATTEMPTS, PERIODS, Plan
from tests.soak.rounds import describe, run_round
from tests.support.history import disable_idempotency

PLAN = Plan(
    seconds=2.0, appends=150.0, runs=15.0, questions=10.0, writers=2, slots=4, workers=2, spawners=1, users=1, shared=4,
    capped=3, leased=2, chats=2, least={"appended": 60, "spawned": 5, "asked": 5}, proxied=0.5, longest=0.4, max_clock_offset=2.5,
    periods={name: 4.0 if name in CLIENT_FAULTS else 3.0 for name in PERIODS},
    losses={"requests": 0.005, "replies": 0.02, "delays": 0.05, "slices": 0.1},
)  # fmt: skip
WITHOUT_BATCH_IDS = replace(
    PLAN, seconds=1.0, least={"appended": 60}, workers=0, spawners=0, users=0, prepare=disable_idempotency, proxied=1.0,
    periods={"kill_connections": 0.5}, losses={"requests": 0.0, "replies": 0.1},
)  # fmt: skip


def swap(history: list[Message], first: int, second: int) -> list[Message]:
    """Return a transcript in which two messages have changed places."""
    history[first].payload, history[second].payload = history[second].payload, history[first].payload
    history[first].batch_id, history[second].batch_id = history[second].batch_id, history[first].batch_id
    return history


def sent_again(message: Message, last_seq: int) -> Message:
    """Return a message as a second append would have stored it."""
    again = copy(message)
    again.seq = last_seq + 1
    return again


DAMAGES: dict[str, tuple[Callable[[list[Message]], list[Message]], str]] = {
    "nothing": (lambda history: history, ""),
    "lost": (lambda history: history[:2] + history[3:], "w.2 was acknowledged at 3 to 3, is at []"),
    "doubled": (lambda history: [*history, sent_again(history[1], 7)], "w.1 was acknowledged at 2 to 2, is at [2, 8]"),
    "moved": (lambda history: swap(history, 0, 1), "w.0 was acknowledged at 1 to 1, is at [2]"),
    "reordered": (lambda history: swap(history, 1, 2), "w.(1, 0) is out of its writer's order"),
    "torn": (lambda history: swap(history, 4, 5), "turn v.0.1 is torn apart at seq 6"),
    "fenced late": (lambda history: swap(history, 3, 5), "of turn v.0.1 comes after 7"),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_checker_finds_each_damage(damage: str) -> None:
    """A transcript that is not what was acknowledged has the violation that the damage is, and a whole transcript has none."""
    ledger = Ledger()
    with SessionCache.from_url("fake://") as cache:
        session = cache.create("a", max_messages=None)
        for number in range(3):
            append(session, ledger, f"w.{number}", {"writer": "w", "number": number, "part": 0, "kind": "private"})
        for turn, fence in (("v.0.1", 6), ("v.1.1", 7)):
            for part in range(2):
                facts = {"writer": "v", "number": int(turn[2]), "part": part, "kind": "turn", "turn": turn}
                append(session, ledger, f"{turn}.{part}", {**facts, "fence": fence})
            ledger.finished.add(turn)
        change, text = DAMAGES[damage]
        found = check_session("a", ledger, change(session.history()), session.info())
        assert found == [] if damage == "nothing" else [one for one in found if text in one]
        miscounted = session.info().model_copy(update={"user_messages": 6})
        assert "a: user_messages is 6, must be 7" in check_session("a", ledger, session.history(), miscounted)


def append(session: Session, ledger: Ledger, batch: str, payload: dict[str, Any]) -> None:
    """Append a message, and write the acknowledgement into a ledger."""
    result = session.append({"role": "user", **payload}, batch_id=batch)
    ledger.acknowledged[batch] = (result.first_seq, result.last_seq)


def test_checker_finds_a_run_without_its_result() -> None:
    """A run whose result did not come, came twice, or is another one is a violation, and so are too many attempts."""
    with SessionCache.from_url("fake://") as cache:
        root = cache.create("root")
        id = str(
            root.spawn("porter", task='{"kind": "complete", "name": "s.0"}', max_attempts=MAX_ATTEMPTS).session_key
        )
        run = cache.claim("porter")
        assert run is not None
        run.complete("did s.0")
        children, history, spawned = root.children(), root.history(), {id: {"kind": "complete"}}
        (child,) = children
        assert check_runs(spawned, children, history) == []
        assert "has 0 results of 1 runs" in check_runs(spawned, children, [])[0]
        assert "has 2 results of 1 runs" in check_runs(spawned, children, history * 2)[0]
        for changed, text in (
            ({"result": "did s.1"}, "has the result 'did s.1'"),
            ({"attempt": MAX_ATTEMPTS + 1}, "had 7 attempts of 6"),
            ({"status": "active"}, "is active"),
        ):
            (first, *_) = check_runs(spawned, [child.model_copy(update=changed)], history)
            assert text in first


@pytest.fixture(params=["valkey-9", "cluster"])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """Return servers with replicas, which can be restarted and can fail over."""
    with service(request.param, tmp_path) as found:
        yield found


def test_nothing_is_lost_or_doubled_under_all_faults(servers: Service, tmp_path: Path) -> None:
    """A history under all faults has no violation, and the checker finds doubled messages in a history without batch IDs."""
    report = run_round(servers, PLAN, 0, tmp_path)
    print(f"\n{servers.version}: {describe(report)}: {dict(report.faults)}")
    assert report.violations == []
    assert report.failed_faults == []
    done = {**report.done, "ended": report.runs.total()}
    assert min(done["appended"] / 60, done["spawned"] / 5, done["ended"] / 5, done["answers"] / 5) >= 1
    wanted = {name for name in PERIODS if name != "move_slot" or isinstance(servers, Clustered)}
    assert wanted - {"jump_clock"} <= {*+report.faults}
    assert report.faults["lost_requests"] + report.faults["lost_replies"] > 0  # chance chooses which of them
    if isinstance(servers, Clustered):
        return  # once is enough for the other half
    ablated = run_round(servers, WITHOUT_BATCH_IDS, 1, tmp_path)
    print(f"without batch IDs: {describe(ablated)}")
    assert [text for text in ablated.violations if "was acknowledged at" in text]
