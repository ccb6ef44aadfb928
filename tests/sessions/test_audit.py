"""The `audit` hook: it is called once after each order that succeeded, and cannot stop one."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any

import pytest

from redis_sessions import AsyncSessionCache, AuditRecord, InvalidInput, SessionCache, SessionNotFound, StoreUnavailable
from redis_sessions._core.commands import sessions
from redis_sessions._sync.services.forgetting import Forgetting
from redis_sessions._sync.services.pruner import Pruner
from redis_sessions._sync.services.run_queues import RunQueues
from redis_sessions.cli.app import log_audit
from tests.conftest import Engines

X = {"role": "user", "content": "x"}


def test_each_order_is_recorded(url: str, namespace: str) -> None:
    """Delete, cancel, force release, import, prune and forget each have a record that says what was done to what."""
    records: list[AuditRecord] = []
    with SessionCache.from_url(url, namespace=namespace, audit=records.append, actor="ops") as cache:
        session = cache.create("a", user_id="mia")
        session.append(X)
        lines = list(session.export())
        lease = session.lease(30, owner="w")
        copy_context().run(lease.acquire)  # as another task
        cache.session("a").lease().release(force=True)
        session.cancel(reason="no longer needed")
        assert cache.delete("a")
        assert not cache.delete("a")
        cache.import_sessions(lines)
        cache.import_sessions(lines, on_conflict="skip")
        assert cache.forget("mia").sessions == 1
        cache.create("b")
        assert cache.prune(max_sessions=1) == 0
        cache.create("c")
        assert cache.prune(max_sessions=1) == 1
    told = [(one.action, one.session_id or one.user_id) for one in records]
    assert told == [
        ("force_release", "a"), ("cancel", "a"), ("delete", "a"), ("import", "a"), ("forget", "mia"), ("prune", None),
    ]  # fmt: skip
    release, cancel, _, imported, forgot, pruned = records
    assert {(one.actor, one.host, one.pid, one.namespace) for one in records} == {
        ("ops", platform.node(), os.getpid(), namespace)
    }
    assert release.details == {"fence": 2}
    assert cancel.reason == "no longer needed"
    assert (imported.details["imported"], forgot.details["messages"], pruned.details) == (1, 1, {"sessions": 1})
    assert records == sorted(records, key=lambda one: one.at)


@pytest.mark.parametrize("engine", ["path"], indirect=True)
def test_failure_of_the_hook_is_logged(url: str, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    """An order succeeds although the hook raises, and an order that fails has no record."""
    calls: list[str] = []

    def hook(record: AuditRecord) -> None:
        calls.append(record.action)
        raise OSError("the disk is full")

    with SessionCache.from_url(url, namespace=namespace, audit=hook) as cache, caplog.at_level(logging.ERROR):
        cache.create("a")
        assert cache.delete("a")
        with pytest.raises(SessionNotFound):
            cache.session("a").cancel()
    assert calls == ["delete"]
    assert "the audit hook failed for delete of a" in caplog.text


def test_hook_of_asyncio_is_awaited(engines: Engines, namespace: str) -> None:
    """A cache for asyncio awaits an async hook, and calls a plain one."""
    url = engines.administrator_url("path")
    calls: list[str] = []

    async def slow(record: AuditRecord) -> None:
        await asyncio.sleep(0)
        calls.append(record.actor)

    async def main(hook: Any) -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace, audit=hook) as cache:
            await cache.create("a", user_id="mia")
            await (await cache.create("b")).spawn("worker")
            assert (await cache.forget("mia", find_unlisted=True)).sessions == 1
            assert await cache.delete("b")

    asyncio.run(main(slow))
    asyncio.run(main(lambda record: calls.append(record.actor)))
    assert calls == [f"{platform.node()}:{os.getpid()}"] * 4


async def _hook(record: AuditRecord) -> None:
    """Do nothing."""


@pytest.mark.parametrize("options", [{"audit": "x"}, {"audit": _hook}, {"actor": "two words"}, {"actor": ""}])
def test_bad_hook_is_refused(options: dict[str, Any]) -> None:
    """A hook that cannot be called, an async one of a plain cache, and a bad actor are refused at once."""
    with pytest.raises(InvalidInput):
        SessionCache.from_url("fake://", **options)


def test_orders_that_broke_off_have_their_records(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `forget` or a `prune` that raises after it deleted something is recorded with what it deleted."""
    records: list[AuditRecord] = []
    with SessionCache.from_url(url, namespace=namespace, audit=records.append) as cache:
        cache.create("a", user_id="mia")
        cache.create("b")

        def fail(*arguments: Any) -> None:
            raise RuntimeError("broke off")

        monkeypatch.setattr(Forgetting, "_await_creations", fail)
        monkeypatch.setattr(Pruner, "_delete_damaged", fail)
        with pytest.raises(RuntimeError, match="broke off"):
            cache.forget("mia")
        cache.create("c")
        with pytest.raises(RuntimeError, match="broke off"):
            cache.prune(max_sessions=1)
    forgot, pruned = records
    assert (forgot.details["sessions"], forgot.details["is_complete"]) == (1, False)
    assert pruned.details == {"sessions": 1}


def test_audit_line_of_the_command_line_cannot_be_forged(caplog: pytest.LogCaptureFixture) -> None:
    """A line break in a reason is shown as text."""
    record = AuditRecord(
        action="cancel", namespace="n", actor="a", host="h", pid=1, at=datetime.now(UTC), reason="x\naudit: forget"
    )
    caplog.set_level(logging.INFO)
    log_audit(record)
    assert "\n" not in caplog.records[-1].getMessage()


def test_order_that_succeeded_is_recorded_although_a_later_step_fails(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion and an import that the server confirmed have a record, also when a server stops before their last step."""
    records: list[AuditRecord] = []

    def fail(*arguments: Any, **options: Any) -> None:
        raise StoreUnavailable(where="x", waited=1.0, detail="it stopped")

    with SessionCache.from_url(url, namespace=namespace, audit=records.append) as cache:
        session = cache.create("a", answered_by="support")
        session.start_loop("l")
        session.append(X, request_turn=True)
        lines = list(session.export())
        with monkeypatch.context() as patch:
            patch.setattr(sessions, "remove_rest", fail)
            assert cache.delete("a")
        with monkeypatch.context() as patch:
            patch.setattr(RunQueues, "confirm_import", fail)
            assert cache.import_sessions(lines).imported == 1
        assert [one.action for one in records] == ["delete", "import"]
        assert cache.session("a").info().work == "queued"
        cache.session("a").delete()
