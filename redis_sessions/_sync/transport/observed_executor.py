# Generated from _async/transport/observed_executor.py by tools/mirror.py; edit that file.
"""An executor that tells telemetry of its calls. A cache without telemetry has the plain one, so it pays nothing."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any, TypeVar

from ..._core.commands.stored_messages import count_stored
from ..._core.protocol.call import Call
from ..._core.protocol.keys import SessionKeys
from ..._core.protocol.transport_errors import TransportError
from ...errors import SessionsError
from ...models.observer import Observer
from .executor import Executor
from .router import Router

T = TypeVar("T")


class ObservedExecutor(Executor):
    """Runs calls like Executor, and tells an observer of each call, its duration, and its retries."""

    def __init__(
        self, router: Router, where: str, namespace: str, retry_for: float, acks: int, wait_ms: int, telemetry: Observer
    ) -> None:
        super().__init__(router, where, namespace, retry_for, acks, wait_ms)
        self._telemetry = telemetry

    def twin(self) -> Executor:
        """Return an executor with the same settings and connections of its own, which does not observe writes."""
        router, retry_for = self._router.twin(), self.retry_for
        return ObservedExecutor(
            router, self.where, self._namespace, retry_for, self.acks, self._wait_ms, self._telemetry
        )

    def run(self, call: Call[T], began: float | None = None, first: TransportError | None = None) -> T:
        """Return the result of a call. See Executor."""
        telemetry, script = self._telemetry, call.script
        operation, procedure = (str(call.command[0]), "") if script is None else ("EVALSHA", script.name)
        session_id, start = _session_of(call), perf_counter()
        try:
            result = super().run(call, began, first)
        except BaseException as problem:
            telemetry.note_call(start, operation, procedure, session_id, error=problem)
            raise
        finally:
            if call.retries:
                telemetry.count_retries(call.retries)
        telemetry.note_call(start, operation, procedure, session_id)
        if number := count_stored(call, result):
            telemetry.count_messages(number)
        return result

    def _send_many(self, calls: Sequence[Call[Any]], due: float | None = None) -> list[Any]:
        if not calls:
            return []
        start = perf_counter()
        try:
            results = super()._send_many(calls, due)
        except BaseException as problem:
            self._telemetry.note_call(start, *_batch(calls), problem)
            raise
        found = [self._failure_of(call, result) for call, result in zip(calls, results, strict=True)]
        self._telemetry.note_call(start, *_batch(calls), _first_error(found))
        return results

    def send_once(self, calls: Sequence[Call[T]], due: float | None = None) -> list[T | SessionsError]:
        """Return the results of calls for which nothing waits, with errors as values. See Executor."""
        if not calls:
            return []
        start = perf_counter()
        try:
            results = super().send_once(calls, due)
        except BaseException as problem:
            self._telemetry.note_call(start, *_batch(calls), problem)
            raise
        self._telemetry.note_call(start, *_batch(calls), _first_error(results))
        return results


def _first_error(results: Sequence[Any]) -> SessionsError | None:
    return next((one for one in results if isinstance(one, SessionsError)), None)


def _session_of(call: Call[Any]) -> str:
    """Return the ID of the session that a call is about. The names of other keys can hold those of users."""
    return call.keys.id if isinstance(call.keys, SessionKeys) else ""


def _batch(calls: Sequence[Call[Any]]) -> tuple[str, str, str, int]:
    """Return how telemetry names a pipeline of calls: its operation, script, session and size."""
    names = {"EVALSHA" if call.script is not None else str(call.command[0]) for call in calls}
    scripts = {"" if call.script is None else call.script.name for call in calls}
    operation = names.pop() if len(names) == 1 else ""
    prefix = "PIPELINE " if len(calls) > 1 and operation else ""
    session_id = _session_of(calls[0]) if len(calls) == 1 else ""
    return f"{prefix}{operation}" or "PIPELINE", scripts.pop() if len(scripts) == 1 else "", session_id, len(calls)
