"""The pages that the read model of the fleet alone fills: fleet, runs and turns, workers, poison runs, health."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from ..errors import InvalidInput
from ..models.fleet import Fleet, FleetSession
from .board import Board, Page, Query
from .charts import draw_charts

_ROWS = 100
"""Rows of a page of runs and turns."""
_STATES = ("waiting", "delayed", "running", "parked", "retried", "gave_up", "failed", "timed_out")

_HOLDERS = ("dead_holder", "silent_holder")


class Totals(NamedTuple):
    """The load of all agents."""

    queued: int
    running: int
    parked: int
    retried: int
    failed: int
    workers: int
    oldest_wait: timedelta | None


def totals_of(fleet: Fleet) -> Totals:
    """Return the load of all agents together. A worker of several agents counts once."""
    waits = [one.oldest_wait for one in fleet.agents if one.oldest_wait is not None]
    queued, running, parked, retried, failed = (
        sum(getattr(one, name) for one in fleet.agents) for name in ("queued", "running", "parked", "retried", "failed")
    )
    workers = sum(one.is_alive for one in fleet.workers)
    return Totals(queued, running, parked, retried, failed, workers, max(waits, default=None))


def is_poison(one: FleetSession) -> bool:
    """Return whether two or more workers died with a run."""
    return sum(attempt.outcome == "died" for attempt in one.attempts) >= 2


async def _load_fleet(board: Board, query: Query) -> dict[str, Any]:
    fleet = board.poller.fleet
    if fleet is None:
        return {"problems": [], "agents": [], "held": [], "charts": [], "holders": {}}
    held = [one for one in fleet.sessions if one.holder and one.held_since]
    held.sort(key=lambda one: (one.held_since or fleet.read_at, one.id))
    return {
        "totals": totals_of(fleet), "problems": fleet.problems, "agents": fleet.agents, "held": held,
        "holders": _bad_holders(fleet),
        "charts": draw_charts(fleet.samples),
    }  # fmt: skip


def _bad_holders(fleet: Fleet) -> dict[str | None, str]:
    """Return 'dead' or 'silent' for each session whose holder is so."""
    return {one.session_id: one.kind.removesuffix("_holder") for one in fleet.problems if one.kind in _HOLDERS}


def sessions_of_state(fleet: Fleet, state: str) -> list[FleetSession]:
    """Return the sessions whose run or turn is in a state, those that need attention first."""
    if state in ("failed", "timed_out"):
        return [one for one in fleet.failed if one.status == state]
    found = [one for one in fleet.sessions if _is_in(one, state)]
    if state == "waiting":
        found.sort(key=lambda one: (one.waiting_since or fleet.read_at, one.id))
    elif state == "running":
        found.sort(key=lambda one: (one.held_since or fleet.read_at, one.id))
    elif state == "delayed":
        found.sort(key=lambda one: (one.available_at or fleet.read_at, one.id))
    return found


def _is_in(one: FleetSession, state: str) -> bool:
    if state == "retried":
        return bool(one.attempts) and one.work in ("queued", "delayed", "running", "parked")
    return one.work == {"waiting": "queued", "gave_up": "failed"}.get(state, state)


async def _load_work(board: Board, query: Query) -> dict[str, Any]:
    fleet = board.poller.fleet
    state = query.get("state", "waiting")
    if state not in _STATES:
        raise InvalidInput(name="state", detail=f"must be one of {', '.join(_STATES)}, got {state[:60]!r}")
    page = query.get("page", "1")
    if not page.isascii() or not page.isdigit() or not 1 <= int(page) <= 1000:
        raise InvalidInput(name="page", detail=f"must be a number from 1 to 1000, got {page[:60]!r}")
    number = int(page)
    if fleet is None:
        return {"state": state, "states": [], "rows": [], "total": 0, "page": number, "has_more": False, "holders": {}}
    found = sessions_of_state(fleet, state)
    return {
        "state": state, "states": [(name, len(sessions_of_state(fleet, name))) for name in _STATES],
        "rows": found[(number - 1) * _ROWS : number * _ROWS], "total": len(found), "page": number,
        "has_more": len(found) > number * _ROWS, "holders": _bad_holders(fleet),
    }  # fmt: skip


async def _load_workers(board: Board, query: Query) -> dict[str, Any]:
    workers = board.poller.fleet.workers if board.poller.fleet else []
    alive = sum(one.is_alive for one in workers)
    return {"alive": alive, "dead": len(workers) - alive}


async def _load_poison(board: Board, query: Query) -> dict[str, Any]:
    fleet = board.poller.fleet
    every = {one.id: one for one in [*fleet.failed, *fleet.sessions]} if fleet else {}
    return {"poison": [one for one in every.values() if is_poison(one)]}


async def _load_health(board: Board, query: Query) -> dict[str, Any]:
    fleet = board.poller.fleet
    return {"problems": [one for one in fleet.problems if one.kind == "server"] if fleet else []}


FLEET = Page(
    "fleet",
    lambda query: "Fleet",
    ("totals", "problems", "charts", "agents", "leases", "spenders"),
    _load_fleet,
    "fleet",
)
WORK = Page("work", lambda query: "Runs and turns", ("work",), _load_work, "runs and turns")
WORKERS = Page("workers", lambda query: "Workers", ("workers",), _load_workers, "workers")
POISON = Page("poison", lambda query: "Poison runs", ("poison",), _load_poison, "poison runs")
HEALTH = Page("health", lambda query: "Health", ("health", "problems"), _load_health, "health")
