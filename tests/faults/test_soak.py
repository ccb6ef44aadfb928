"""A short soak: a fleet works while all faults are injected, and the whole history is checked. `make soak` runs for hours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.soak.engines import Clustered, Service, service
from tests.soak.plan import CLIENT_FAULTS, PERIODS, Plan
from tests.soak.rounds import describe, run_round
from tests.support.history import disable_idempotency

PLAN = Plan(
    seconds=2.0, appends=150.0, runs=15.0, questions=10.0, writers=2, slots=4, workers=2, spawners=1, users=1, shared=4,
    capped=3, leased=2, chats=2, least={"appended": 60, "spawned": 5, "asked": 5}, proxied=0.5, longest=0.4,
    periods={name: 4.0 if name in CLIENT_FAULTS else 2.0 for name in PERIODS},
    losses={"requests": 0.005, "replies": 0.02, "delays": 0.05, "slices": 0.1},
)  # fmt: skip
WITHOUT_BATCH_IDS = replace(
    PLAN, seconds=1.0, least={"appended": 60}, workers=0, spawners=0, users=0, prepare=disable_idempotency, proxied=1.0,
    periods={"kill_connections": 0.5}, losses={"requests": 0.0, "replies": 0.1},
)  # fmt: skip


@pytest.fixture(params=["valkey-9", "cluster"])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """Return servers with replicas, which can be restarted and can fail over."""
    with service(request.param, tmp_path) as found:
        yield found


def test_nothing_is_lost_or_doubled_under_all_faults(servers: Service, tmp_path: Path) -> None:
    """A history under all faults has no violation, and a history without batch IDs shows that the checker finds violations."""
    report = run_round(servers, PLAN, 0, tmp_path)
    print(f"\n{servers.version}: {describe(report)}: {dict(report.faults)}")
    assert report.violations == []
    assert report.failed_faults == []
    done = {**report.done, "ended": report.runs.total()}
    assert min(done["appended"] / 60, done["spawned"] / 5, done["ended"] / 5, done["answers"] / 5) >= 1
    wanted = {name for name in PERIODS if name != "move_slot" or isinstance(servers, Clustered)}
    assert {*wanted, "lost_requests", "lost_replies"} - {"jump_clock"} <= {*+report.faults}
    ablated = run_round(servers, WITHOUT_BATCH_IDS, 1, tmp_path)
    print(f"without batch IDs: {describe(ablated)}")
    assert [text for text in ablated.violations if "was acknowledged at" in text]
