"""A round of a soak: load and faults for some minutes, then rest, then a check of everything that was journaled and is stored.

Rounds bound the memory of the servers, the journals and the checker. Each round has a namespace of its own.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis_sessions import InvalidInput, SessionCache
from tests.soak.check_messages import Ledger, check_session, ledgers_of
from tests.soak.check_runs import check_runs
from tests.soak.check_store import check_all_lifetimes, check_lists, check_queues, users_of
from tests.soak.crew import Crew
from tests.soak.engines import Clustered, Service
from tests.soak.faults import ServerFaults
from tests.soak.load import Job
from tests.soak.plan import Plan, sessions, slots_of
from tests.support.chat_fleet import Outcome, compare
from tests.support.history import read_journals
from tests.support.proxy import Losses, proxies

MAX_VIOLATIONS = 200
_SETTLE_SECONDS = 120.0
_LATE_SECONDS = 12.0
_LONGEST_SECONDS = 90.0
"""The time after which a short round ends although it lacks a fault or an event."""


@dataclass
class RoundReport:
    """The figures of a round."""

    number: int
    namespace: str
    seconds: float = 0.0
    settle_seconds: float = 0.0
    check_seconds: float = 0.0
    done: Counter[str] = field(default_factory=Counter)
    """Acknowledged operations, by kind, and the messages that were compared."""
    faults: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    """Errors that clients got and resolved."""
    runs: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    """Seconds that users waited for an answer, up to 2."""
    violations: list[str] = field(default_factory=list)
    failed_faults: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    """Sessions with work, some seconds after the clients had ended."""


def run_round(service: Service, plan: Plan, number: int, folder: Path) -> RoundReport:
    """Run a round, and check it. The journals of a round without violations are removed."""
    report = RoundReport(number, f"soak{number}")
    folder = folder / f"round{number}"
    folder.mkdir(parents=True)
    with SessionCache.from_url(
        service.url, namespace=report.namespace, max_messages=None, retry_for=30, max_connections=4
    ) as cache:
        for id, options in sessions(plan).items():
            cache.create(id, **options)
        _work(service, plan, cache, folder, report)
        began = time.monotonic()
        _check(service, plan, cache, folder, report)
        report.check_seconds = time.monotonic() - began
    del report.violations[MAX_VIOLATIONS:]
    if not report.violations:
        shutil.rmtree(folder)
    for node in service.masters():
        node.client.flushall()
    return report


def _work(service: Service, plan: Plan, cache: SessionCache, folder: Path, report: RoundReport) -> None:
    losses = Losses(**plan.losses)
    ports = [node.port for node in service.nodes]
    job = Job("", "", 0, service.url, report.namespace, str(folder), plan)
    seed = f"{plan.seed}/{report.number}"
    faults = ServerFaults(service, plan, report.faults, seed)
    with ExitStack() as stack:
        proxied = stack.enter_context(proxies(ports, losses, plan.seed))
        crew = Crew(job, service.proxied_url(proxied), report.faults, seed)
        stack.callback(crew.kill)
        began = time.monotonic()
        faults.start()
        crew.work(plan.seconds)
        while _is_brief(plan, faults, folder) and time.monotonic() - began < _LONGEST_SECONDS:
            crew.work(0.2)
        faults.stop()
        losses.requests = losses.replies = losses.delays = losses.slices = 0.0
        crew.end_clients()
        report.seconds = time.monotonic() - began
        _settle(plan, cache, folder, crew, report)
        crew.end_workers()
        report.settle_seconds = time.monotonic() - began - report.seconds
    for name in ("lost_requests", "lost_replies", "delayed", "sliced"):
        report.faults[f"{name}_chunks" if name in ("delayed", "sliced") else name] = getattr(losses, name)
    report.failed_faults = [*faults.failed, *service.problems]
    service.problems.clear()
    report.violations += crew.violations


def _is_brief(plan: Plan, faults: ServerFaults, folder: Path) -> bool:
    """Return whether a short round on a busy machine lacks a fault or events."""
    if not plan.least:
        return False
    found = Counter(event["what"] for event in read_journals(folder))
    return bool(faults.lacking()) or any(found[what] < number for what, number in plan.least.items())


def _settle(plan: Plan, cache: SessionCache, folder: Path, crew: Crew, report: RoundReport) -> None:
    """Wait until the workers have done everything. Turns that failed are tried again, as an operator would do."""
    due = time.monotonic() + _SETTLE_SECONDS
    roots = {event["root"] for event in _events(folder, "spawn") if event["what"] == "spawned"}
    waiting = {*sessions(plan), *roots}
    while waiting:
        cache.recover()
        for id in sorted(waiting):
            info = cache.session(id).info()
            if info.work == "failed":
                with suppress(InvalidInput):
                    cache.session(id).retry()
                    report.done["retried_turns"] += 1
            elif info.work is None and info.inbox_size == 0 and info.lease is None and not _has_work(cache, id, roots):
                waiting.discard(id)
        crew.rest(0.3 if waiting else 0.0)
        if not report.late and waiting and due - time.monotonic() < _SETTLE_SECONDS - _LATE_SECONDS:
            report.late = [_describe_work(cache, id, roots) for id in sorted(waiting)[:20]]
        if time.monotonic() > due:
            report.violations.append(f"after {_SETTLE_SECONDS} s without faults {sorted(waiting)[:20]} still work")
            return


def _has_work(cache: SessionCache, id: str, roots: set[str]) -> bool:
    return id in roots and any(child.is_active for child in cache.session(id).children(recursive=True))


def _describe_work(cache: SessionCache, id: str, roots: set[str]) -> str:
    info = cache.session(id).info()
    active = [child for child in cache.session(id).children(recursive=True) if child.is_active] if id in roots else []
    works = [f"{child.id} {child.work} {child.updated_at} {child.lease}" for child in active]
    return f"{info.read_at} {id}: work {info.work} {info.available_at}, inbox {info.inbox_size}, lease {info.lease}, {works}"


def _events(folder: Path, role: str) -> Iterator[dict[str, Any]]:
    yield from read_journals(folder, f"{role}*.log")


def _check(service: Service, plan: Plan, cache: SessionCache, folder: Path, report: RoundReport) -> None:
    ledgers: dict[str, Ledger] = defaultdict(Ledger)
    for slot in slots_of(plan, "write"):
        events = read_journals(folder, f"{slot}.life*.log")
        _count(events, report)
        ledgers_of(slot, events, ledgers)
    users = users_of(sessions(plan))
    for id in users:
        if not id.startswith("chat-"):
            session = cache.session(id)
            history = session.history(limit=None)
            report.done["messages_compared"] += len(history)
            found = check_session(id, ledgers[id], history, session.info())
            if found:
                lines = [f"{one.seq} {one.batch_id} {one.timestamp_ms} {json.dumps(one.payload)}" for one in history]
                (folder / f"{id}.history").write_text("\n".join(lines))
            report.violations += found
    users.update(_check_roots(cache, folder, report))
    _check_chats(plan, cache, folder, report)
    found, report.done["unlisted"] = check_lists(cache, users, is_cluster=isinstance(service, Clustered))
    report.violations += found
    report.violations += check_queues(cache, service, report.namespace)
    report.violations += check_all_lifetimes(service, report.namespace)


def _count(events: list[dict[str, Any]], report: RoundReport) -> None:
    for event in events:
        what = event["what"]
        if what == "error":
            report.errors[event["error"]] += 1
            if event["text"]:
                report.errors[f"{event['error']}: {event['text']}"] += 1
        elif what == "crashed":
            report.violations.append(f"a client failed: {event['error'][-1500:]}")
        else:
            report.done[what] += 1
            report.done["duplicates_recognised"] += event.get("duplicate", False)
            if what in ("appended", "written", "sent"):
                report.done["appends"] += 1
                report.done["messages"] += event.get("size", 1)


def _check_roots(cache: SessionCache, folder: Path, report: RoundReport) -> dict[str, str | None]:
    """Check the trees. Return the user of each of their sessions."""
    roots: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    events = list(_events(folder, "spawn"))
    _count(events, report)
    for event in events:
        if event["what"] == "spawned":
            roots[event["root"]][event["session"]] = event
    found: dict[str, str | None] = {}
    for id, spawned in roots.items():
        root = cache.session(id)
        children = root.children(recursive=True)
        found.update({id: None, **{child.id: None for child in children}})
        report.runs.update(str(child.status) for child in children)
        report.attempts.update(attempt.outcome for child in children for attempt in child.attempts)
        report.violations += [f"{id}: {text}" for text in check_runs(spawned, children, root.history(limit=None))]
    return found


def _check_chats(plan: Plan, cache: SessionCache, folder: Path, report: RoundReport) -> None:
    asked: Counter[str] = Counter()
    outcome = Outcome()
    events = list(_events(folder, "ask"))
    _count(events, report)
    for event in events:
        if event["what"] == "asked":
            asked[event["session"]] += 1
        elif event["what"] == "answered":
            report.waits.append(event["seconds"])
    for id in sessions(plan):
        if id.startswith("chat-"):
            with suppress(ValueError):  # raised when answers are missing, which is reported
                compare(id, cache.session(id).history(limit=None), asked[id], outcome)
    report.done["answers"] += len(outcome.waits)
    report.violations += outcome.violations


def describe(report: RoundReport) -> str:
    """Return the figures of a round as one line."""
    done = report.done
    return (
        f"round {report.number}: {report.seconds:.0f} s, {done['appends']} appends, {report.runs.total()} runs,"
        f" {done['answers']} answers, {report.faults.total()} faults, {report.errors.total()} errors resolved,"
        f" settled in {report.settle_seconds:.0f} s, checked in {report.check_seconds:.0f} s,"
        f" {len(report.violations)} violations"
    )


def as_json(report: RoundReport) -> dict[str, Any]:
    """Return a round for the report file."""
    facts: dict[str, Any] = json.loads(json.dumps(report.__dict__))
    del facts["waits"]
    return facts
