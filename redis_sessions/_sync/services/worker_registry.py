# Generated from _async/services/worker_registry.py by tools/mirror.py; edit that file.
"""The registry of workers: a worker shows what it does, and others list the workers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Iterable

from ..._core.commands import forgetting, stored_values, workers
from ..._core.protocol.keys import worker_keys
from ..._log_events import HEARTBEAT_FAILED, error_facts
from ...errors import SessionsError
from ...models.pages import Page
from ...models.workers import WorkerInfo
from ..transport import primitives, tasks
from ..transport.executor import Executor
from . import unlisted
from .context import CacheContext

_BATCH = 100
_CHANGE_SECONDS = 0.1
"""A run that is over sooner is not shown, so quick runs cost the registry nothing while they are rare."""
_LEAST_SECONDS_BETWEEN_CHANGES = 1.0
_LEAVE_SECONDS = 2.0
"""The longest wait of `stop`. If the server does not answer, the worker is shown as dead until an hour is over."""


class WorkerRegistration:
    """One worker's entry in the registry. It is advisory: errors of the server are logged at DEBUG, and change nothing.

    The timers hold the registration weakly: a worker that was dropped without `stop` is not heard any more.
    """

    def __init__(self, context: CacheContext, agents: Iterable[str], concurrency: int, ttl_ms: int, owner: str) -> None:
        self._executor = context.executor
        self._keys = worker_keys(context.namespace)
        self._worker = workers.Registrant(secrets.token_hex(6), owner, tuple(agents), concurrency, ttl_ms)
        self._holding: Collection[str] = ()
        self._shown: tuple[str, ...] = ()
        self._started_ms: int | None = None
        self._sent_at = 0.0
        self._sending = primitives.Lock()
        self._is_running = False
        self._next: tasks.Cancellable | None = None
        self._change: tasks.Cancellable | None = None

    @property
    def id(self) -> str:
        """The ID of the worker."""
        return self._worker.id

    def start(self) -> None:
        """Show the worker, in the background, and again every 1 to 15 s: at half of its ttl."""
        self._is_running = True
        tasks.spawn(tasks.while_used(self._beat))

    def update(self, holding: Collection[str]) -> None:
        """Note the IDs of the sessions that the worker works on. A change is sent in the background, at most once a second.

        The IDs are read when they are sent: a set or a dict that the worker keeps up to date can be given.
        """
        self._holding = holding
        if self._is_running and self._change is None:
            rest = self._sent_at + _LEAST_SECONDS_BETWEEN_CHANGES - time.monotonic()
            self._change = tasks.later(max(rest, _CHANGE_SECONDS), tasks.while_used(self._show_change))

    def stop(self) -> None:
        """Leave the registry. Return after 2 s at the latest."""
        if not self._is_running:
            return
        self._is_running = False
        for timer in (self._next, self._change):
            if timer is not None:
                timer.cancel()
        is_gone = tasks.Event()
        if tasks.try_spawn(self._leave, is_gone) is None:  # the process ends, and can start no more threads
            self._leave(is_gone)
        is_gone.wait(_LEAVE_SECONDS)

    def _beat(self) -> None:
        self._send(always=True)
        if self._is_running:
            seconds = workers.interval_seconds(self._worker.ttl_ms)
            self._next = tasks.later(seconds, tasks.while_used(self._beat))

    def _show_change(self) -> None:
        self._change = None  # before the IDs are read, so that a later change is sent, too
        self._send(always=False)

    def _send(self, *, always: bool) -> None:
        with self._sending:  # a heartbeat that arrives after `leave` would bring the worker back
            holding = tuple(self._holding)
            if not self._is_running or not (always or holding != self._shown):
                return
            self._sent_at = time.monotonic()
            try:
                now_ms = self._executor.run(workers.heartbeat(self._keys, self._worker, holding, self._started_ms))
            except SessionsError as problem:
                self._log_failure("a heartbeat of worker %s failed: %s", problem)
                return
            self._shown = holding
            if self._started_ms is None:
                self._started_ms = now_ms

    def _log_failure(self, text: str, problem: SessionsError) -> None:
        HEARTBEAT_FAILED.log(text, self.id, problem, worker=self._worker.owner, **error_facts(problem))

    def _leave(self, is_gone: tasks.Event) -> None:
        try:
            with self._sending:
                self._executor.run(workers.leave(self._keys, self.id))
        except SessionsError as problem:
            self._log_failure("worker %s could not leave the registry: %s", problem)
        finally:
            is_gone.set()


def list_workers(
    executor: Executor, namespace: str, agent_id: str | None, limit: int, cursor: str | None
) -> Page[WorkerInfo]:
    """Return a page of workers, of one agent or of all."""
    keys = worker_keys(namespace)
    if agent_id is None:
        return executor.run(workers.list_page(keys, limit, cursor))
    found: dict[str, WorkerInfo] = {}
    while True:
        page = executor.run(workers.list_page(keys, workers.MAX_PAGE_WORKERS, cursor))
        for worker in page.items:
            if agent_id in worker.agents:
                found.setdefault(worker.id, worker)
        cursor = page.cursor
        if cursor is None or len(found) > limit:
            break
    items = list(found.values())
    if len(items) > limit:
        cursor = workers.cursor_behind(items[limit - 1])
    return Page(items[:limit], cursor)


def leave_workers(executor: Executor, namespace: str) -> int:
    """Remove sessions that are gone from the records of workers. Return how many records were changed.

    Cost: one round trip, two for each 100 workers, and one for each record that names such a session.
    """
    keys, changed = worker_keys(namespace), 0
    worker_ids = executor.run(forgetting.list_worker_ids(keys))
    for first in range(0, len(worker_ids), _BATCH):
        some = worker_ids[first : first + _BATCH]
        records = executor.run(forgetting.read_worker_records(keys, some))
        named = [id for record in records if record for id in forgetting.sessions_named(record)]
        gone = {id.decode() for id in unlisted.gone_of(executor, namespace, named)}
        for id, record in zip(some, records, strict=True):
            new = None if record is None else forgetting.without_sessions(record, gone)
            if record is not None and new is not None:
                changed += executor.run(stored_values.replace_in_worker_record(keys, id, record, new))
    return changed
