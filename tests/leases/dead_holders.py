"""Holders that die: they neither renew nor release their leases."""

from __future__ import annotations

from typing import Any

from redis_sessions import Lease


def stop_renewing(lease: Lease[Any]) -> None:
    """Stop the renewal of a held lease, as the death of the holder does."""
    assert lease._renewer is not None
    lease._renewer.stop()
