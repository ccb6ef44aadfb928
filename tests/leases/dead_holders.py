"""Holders that die: they neither renew nor release their leases."""

from __future__ import annotations

from typing import Any

from redis_sessions import Lease
from redis_sessions._core.commands import leases
from tests.support.servers import await_true


def stop_renewing(lease: Lease[Any]) -> None:
    """Stop the renewal of a held lease, as the death of the holder does."""
    assert lease._renewer is not None
    lease._renewer.stop()


def let_run_out(lease: Lease[Any]) -> None:
    """Let a held lease run out now, as a lease does some time after the death of its holder."""
    stop_renewing(lease)
    session = lease._session
    session._executor.run(leases.renew(session._keys, session._incarnation, lease._require().token, 1))
    await_true(lambda: lease.info() is None)
