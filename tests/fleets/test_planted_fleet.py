"""The planted fleet of other tests: each of its sessions is in the trouble that it is planted with."""

from __future__ import annotations

import pytest

from redis_sessions import LimitExceeded, SessionCache
from tests.conftest import Engines, check_lifetimes
from tests.support.planted_fleet import LONG_LEASE_SECONDS, LONGEST_ID, planted_fleet
from tests.support.servers import await_true


def test_each_planted_session_is_in_its_trouble(engines: Engines, namespace: str) -> None:
    """Each cause is visible in the stored data, and all others are in good order."""
    url = engines.url("valkey-9")
    with (
        planted_fleet(url, namespace, sessions=60) as fleet,
        SessionCache.from_url(url, namespace=namespace) as cache,
    ):
        infos = {kind: cache.session(id).info() for kind, id in fleet.causes.items()}
        leases = {one.session_id: one for one in cache.leases(limit=1000).items}

        def silent_workers() -> set[str]:
            return {one.owner for one in cache.workers().items if not one.is_alive}

        await_true(lambda: silent_workers() == {"booker-1", "importer-1", "importer-2"})
        dead, silent = (leases[fleet.causes[kind]] for kind in ("dead_holder", "silent_holder"))
        assert (dead.owner, silent.owner) == (fleet.owners["dead_holder"], fleet.owners["silent_holder"])
        assert dead.expires_in.total_seconds() > LONG_LEASE_SECONDS / 2
        assert infos["silent_holder"].count == 0
        with pytest.raises(LimitExceeded, match="inbox"):
            cache.session(fleet.causes["inbox_full"]).send("One more.")
        with pytest.raises(LimitExceeded, match="budget"):
            cache.session(fleet.causes["budget_spent"]).append({"role": "user", "content": "One more."})
        children = cache.session(fleet.causes["paused_parent"]).children()
        assert infos["paused_parent"].status == "paused"
        assert {child.status for child in children} == {"active"}
        assert [one.outcome for one in infos["poison_run"].attempts] == ["died", "died"]
        assert max(len(one.id) for one in cache.iter_sessions()) == LONGEST_ID
    for node in engines.nodes["valkey-9"]:
        check_lifetimes(node.client, namespace)
        node.client.flushall()
