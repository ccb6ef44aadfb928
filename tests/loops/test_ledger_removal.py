"""Ledgers of sessions that are gone: what removes the entry of such a session removes its ledger, too."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import SessionCache
from redis_sessions._core.commands import list_pages
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.keys import session_keys
from redis_sessions._sync.services import expired_entries, indexer
from tests.conftest import Engines, fake_client
from tests.support.servers import await_true

ENGINES = ["fake", "redis-6.2"]


def client_of(cache: SessionCache, engine: str, engines: Engines) -> Any:
    """Return a client of the engine."""
    return engines.nodes[engine][0].client if engines.nodes[engine] else fake_client(cache)


@pytest.mark.parametrize("engine", ENGINES, indirect=True)
@pytest.mark.parametrize("finder", ["list", "sweep"])
def test_entry_of_a_gone_session_leaves_with_its_ledger(
    cache: SessionCache, engine: str, engines: Engines, finder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list and a sweep that meet a session without its hash remove its ledger, and no ledger of a session that is there."""
    monkeypatch.setattr(expired_entries.ExpiredEntries, "_schedule", lambda self: None)
    monkeypatch.setattr(list_pages, "is_recent", lambda entry, now_us: False)
    for name in ("gone", "there"):
        cache.create(name).start_loop("l")
    cache._context.indexer.flush()
    client, gone = client_of(cache, engine, engines), session_keys(cache.namespace, "gone")
    client.delete(gone.session, gone.messages)
    with SessionCache(cache) as other:
        if finder == "list":
            assert [one.id for one in other.list().items] == ["there"]
        else:
            repairs = other._context.indexer.repairs
            record = repairs.read_state(session_keys(cache.namespace, "there")).record
            for index in record.entries(cache.namespace, gone.tag):
                repairs.sweep(index)
        await_true(lambda: client.exists(gone.ledger) == 0, seconds=5)
        assert cache.session("there").ledger().find("l")


def test_deleted_tree_leaves_no_ledger(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledgers of all members are gone when the delete of their root returns, before anything in the background."""
    root = cache.create("root")
    child = cache.session(root.spawn("worker", mode="session").session_key or "")
    child.start_loop("l")
    cache._context.indexer.flush()
    monkeypatch.setattr(indexer.Indexer, "repair_later", lambda *_, **__: None)
    root.delete()
    assert cache._context.executor.run(_exists(child._keys)) == 0


def _exists(keys: Any) -> Any:
    return Call(("EXISTS", keys.ledger), keys, int, writes=False)


def test_export_of_a_tree_leaves_out_a_member_that_is_deleted_meanwhile(cache: SessionCache) -> None:
    """A member whose ledger is gone, because the member was deleted, does not fail the export of its tree."""
    root = cache.create("root")
    child = cache.session(root.spawn("worker", mode="session").session_key or "")
    child.start_loop("l")
    for line in root.export():
        if '"fields"' in line and child.id in line[:200] and cache.get(child.id):
            child.delete()
    assert cache.get(child.id) is None
