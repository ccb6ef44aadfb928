"""Run calls: retry what is worth a retry within one time bound, and turn refusals into errors."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from typing import Any, TypeVar

from redis.exceptions import AskError, NoPermissionError, NoScriptError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from ..._core.protocol.call import Call
from ..._core.protocol.chain import Chain
from ..._core.protocol.transport_errors import (
    ConnectFailed,
    ConnectImpossible,
    ConnectionLost,
    ConnectionRejected,
    ServerNotReady,
    TimeOver,
    TransportError,
)
from ...bounds import DEFAULT_BOUNDS
from ...errors import AccessDenied, NotReplicated, SessionsError, StoreUnavailable
from . import primitives
from .blob_files import read_decoded, store_files, try_to_store_files
from .call_parts import prepare_next_part
from .decoded_replies import result_of
from .ping import ping
from .refusals import DENIED, END_RETRIES, end_of_retries, final_refusal, repeat_advice, server_error, transport_failure
from .router import Router
from .schema_check import SchemaCheck
from .write_observer import WriteObserver

T = TypeVar("T")
_HINT_PAUSE_SECONDS = 10.0
"""In a cluster: how long no hints are sent after a node did not answer one, so that its failure delays one call only."""
_MAX_KNOWN_ANCESTORS = 10_000
"""Children whose ancestors a process remembers."""
_RETRYABLE = (ConnectFailed, ConnectionLost, ServerNotReady)


class Executor:
    """Runs calls on the nodes of one engine, for one namespace.

    run: one call, retried. The methods for many calls send them in one round trip to each node:
        run_many: retried, errors are values. get_many: the same, and the first error is raised.
        try_many: a node that does not answer is not tried again. A call is run once more alone, unless it only reads and its
            refusal is final.
        send_once: nothing is tried again, for the background.
    """

    def __init__(
        self, router: Router, where: str, namespace: str, retry_for: float, acks: int = 0, wait_ms: int = 0
    ) -> None:
        self._router = router
        self.where = where
        self._namespace = namespace
        self.retry_for = retry_for
        self.acks, self._wait_ms = acks, wait_ms
        self._wait_command = ("WAIT", acks, wait_ms) if acks else None
        self._schema = SchemaCheck(router, where, namespace)
        self._hints_from = 0.0
        self._ancestors: dict[str, tuple[str, ...]] = {}
        self.observer: Callable[[], WriteObserver | None] = lambda: None
        self.bounds = DEFAULT_BOUNDS
        """The bounds of what is stored, for calls that the background makes."""
        self.chain: Chain | None = None
        self.on_failure: Callable[[Exception], object] | None = None
        """Called with each failure after which a call is tried again, for programs that say why they wait."""

    def twin(self) -> Executor:
        """Return an executor with the same settings and connections of its own, which does not observe writes."""
        return Executor(self._router.twin(), self.where, self._namespace, self.retry_for, self.acks, self._wait_ms)

    async def close(self) -> None:
        """Close the connections of this executor for good."""
        await self._router.close()

    def ancestors(self, id: str) -> tuple[str, ...]:
        """Return the ancestors of a session, as far as this process knows them."""
        return self._ancestors.get(id, ())

    def remember_ancestors(self, id: str, ancestors: Sequence[str]) -> None:
        """Keep the ancestors of a child, so that its next call declares their keys at once."""
        if len(self._ancestors) >= _MAX_KNOWN_ANCESTORS:
            self._ancestors.clear()
        self._ancestors[id] = tuple(ancestors)

    async def run(self, call: Call[T], began: float | None = None, first: TransportError | None = None) -> T:
        """Return the result of a call. A transport error is retried for `retry_for` seconds.

        Args:
            began: the time by `time.monotonic` from which `retry_for` counts. Default: now.
            first: the failure of an attempt that was made with other calls. The next attempt is a retry.
        """
        now = time.monotonic()
        began = now if began is None else began
        observer = self.observer() if call.index_effect != "none" else None
        if observer is not None:
            observer.before_write(call, now)
        try:
            if first is not None:
                raise copy(first)  # other calls have the same one
            if call.writes and self.chain is not None and await store_files(self.chain, [call], self.retry_for):
                now = began = time.monotonic()
            call.due = self._due(now, began)
            result = await self._attempt(call)
            if observer is not None and getattr(result, "duplicate", False):
                observer.repair_later([call.keys.id])
        except _RETRYABLE as problem:
            try:
                result = await self._retry(call, problem, began)
            finally:
                if observer is not None:
                    observer.repair_later([call.keys.id])
        except SessionsError:
            if observer is not None:
                observer.repair_later([call.keys.id])
            raise
        finally:
            is_behind = observer is not None and observer.after_write(call)
        if observer is not None and is_behind:
            with suppress(SessionsError):
                await observer.flush()
        return result

    async def decode(self, read: Callable[[], T], stored: Any, *, can_read_again: bool = False) -> T:
        """Return the result of a function that decodes what a server replied, with the files that it refers to."""
        return await read_decoded(read, stored, self.chain, self.retry_for, can_read_again=can_read_again)

    def _due(self, now: float, began: float) -> float:
        """Return the time at which an attempt must be over: `timeout` bounds the attempt, and `retry_for` the whole call."""
        return min(now + self._router.timeout, began + self.retry_for)

    async def ping(self) -> None:
        """Return when every node has answered. Raises StoreUnavailable, StoreError and AccessDenied, without a retry."""
        await ping(self._router, self.where)

    async def run_many(self, calls: Sequence[Call[T]]) -> list[T | SessionsError]:
        """Return the results of calls, with errors as values. One round trip to each node.

        What a node does not answer at once is retried, for `retry_for` seconds in all.
        """
        began = time.monotonic()
        results: list[T | SessionsError] = []
        gave_up = False
        for call, result in zip(calls, await self._send_many(calls), strict=True):
            first = result if isinstance(result, _RETRYABLE) else None
            if first is not None or (isinstance(result, StoreUnavailable) and not gave_up):
                try:
                    result = await self.run(call, began, first)
                except SessionsError as problem:
                    result = problem.with_traceback(None)  # else it would hold the variables of all callers
                    gave_up = gave_up or isinstance(problem, StoreUnavailable)
            results.append(self._failure_of(call, result))
        return results

    async def get_many(self, calls: Sequence[Call[T]]) -> list[T]:
        """Return the results of calls, as `run_many` does. Raise the first error among them."""
        results: list[T] = []
        for result in await self.run_many(calls):
            if isinstance(result, SessionsError):
                raise result
            results.append(result)
        return results

    async def try_many(self, calls: Sequence[Call[T]], due: float | None = None) -> list[T | SessionsError]:
        """Return the results of calls, as `run_many` does, without retries: StoreUnavailable where a node does not answer.

        `due`: the time by `time.monotonic` at which the attempt must be over. Default: `timeout` from now.
        """
        return [self._failure_of(call, one) for call, one in zip(calls, await self._send_many(calls, due), strict=True)]

    def _failure_of(self, call: Call[Any], result: Any) -> Any:
        """Return a result of a call, or what a failure of the transport is for the caller."""
        return transport_failure(self.where, call, result) if isinstance(result, TransportError) else result

    async def _send_many(self, calls: Sequence[Call[Any]], due: float | None = None) -> list[Any]:
        """Return the results of calls as `try_many` does, with the failures of the transport as they are."""
        results: list[Any] = []
        try:
            refusal = None if self.chain is None else await try_to_store_files(self.chain, calls)
            if refusal is not None:
                return [refusal] * len(calls)
            began = time.monotonic()
            if due is None:
                due = began + self._router.timeout
            has_writes = any(call.writes for call in calls)
            await self._schema.check(has_writes, due)
            commands = [(call.keys.tag, call.command) for call in calls]
            replies = await self._router.send_many(commands, due, self._wait_command if has_writes else None)
        except DENIED as problem:
            raise AccessDenied(where=self.where, detail=str(problem)) from None
        except TransportError as problem:
            replies = [(problem, None)] * len(calls)
        for call, (reply, acked) in zip(calls, replies, strict=True):
            try:
                if isinstance(reply, TransportError):
                    results.append(reply)
                elif isinstance(reply, Exception):
                    results.append(final_refusal(self.where, call, reply) or await self.run(call, began))
                else:
                    if call.writes and self.acks:
                        self._check_acks(call, acked)
                    results.append(await result_of(call, reply, self.chain, self.run, self.retry_for))
            except SessionsError as problem:
                results.append(problem.with_traceback(None))
        return results

    async def send_once(self, calls: Sequence[Call[T]], due: float | None = None) -> list[T | SessionsError]:
        """Return the results of calls for which nothing waits, with errors as values. What a server refuses is not retried.

        `due`: as for `try_many`. Each script that a server does not know, or whose slot moved, is sent once more.
        """
        due = time.monotonic() + self._router.timeout if due is None else due
        results: list[T | SessionsError] = []
        try:
            await self._schema.check(any(call.writes for call in calls), due)
            replies = await self._router.send_many([(call.keys.tag, call.command) for call in calls], due)
        except (TransportError, *DENIED) as problem:
            replies = [(problem, None)] * len(calls)
        for call, (reply, _) in zip(calls, replies, strict=True):
            try:
                if isinstance(reply, NoScriptError | AskError):  # MovedError is a kind of AskError
                    (reply, *_) = await self._router.send(call.keys.tag, call.command, call.script, due=due)
            except (TransportError, *DENIED) as failure:
                reply = failure
            if isinstance(reply, TransportError):
                results.append(StoreUnavailable(where=self.where, waited=0.0, detail=str(reply)))
            elif isinstance(reply, Exception):
                refusal = server_error(self.where, call.keys.id, reply)
                if not isinstance(refusal, SessionsError):
                    refusal = StoreUnavailable(where=self.where, waited=0.0, detail=str(reply))
                results.append(refusal)
            else:
                read: T = await result_of(call, reply, self.chain, self.run, self.retry_for)
                results.append(read)
        return results

    async def _retry(self, call: Call[T], first: Exception, began: float) -> T:
        last, may_have_run = first, isinstance(first, ConnectionLost)
        left = self.retry_for - (time.monotonic() - began)
        try:
            if left <= 0 or (may_have_run and not call.idempotent):
                raise first
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(_RETRYABLE),
                stop=stop_after_delay(left),
                wait=wait_random_exponential(multiplier=0.02, max=0.5),
                sleep=primitives.sleep,
                reraise=True,
            ):
                with attempt:
                    now = time.monotonic()
                    call.mark_retry(math.ceil((now - began) * 1000))
                    call.due = self._due(now, began)
                    try:
                        return await self._attempt(call)
                    except TimeOver:
                        raise last from None
                    except _RETRYABLE as problem:
                        if self.on_failure is not None:
                            self.on_failure(problem)
                        last = problem
                        may_have_run = may_have_run or isinstance(problem, ConnectionLost)
                        raise
        except (*_RETRYABLE, *END_RETRIES) as problem:
            may_have_written = may_have_run and call.writes
            if isinstance(problem, SessionsError) and not may_have_written:
                raise
            waited = time.monotonic() - began
            raise end_of_retries(self.where, call, problem, waited, may_have_written=may_have_written) from problem
        raise AssertionError("unreachable: tenacity returns or raises")

    async def _attempt(self, call: Call[T]) -> T:
        while True:
            reply, *more = await self._send(call)
            if not isinstance(reply, Exception):
                break
            word, _, facts = str(reply).partition(" ")
            if word == "NEED_ANCESTORS":
                self.remember_ancestors(call.keys.id, facts.split())
                call.add_ancestors(facts.split())
            elif not prepare_next_part(call, word, facts, self._router.timeout):
                raise server_error(self.where, call.keys.id, reply)
            call.hints = ()
        if more:
            self._check_acks(call, more[0])
        if self.chain is None:
            return call.result(reply)
        return await result_of(call, reply, self.chain, self.run, self.retry_for)

    async def _send(self, call: Call[T]) -> list[Any]:
        """Return the reply, and the reply of WAIT behind it. The call's hints are sent before the call."""
        try:
            if self._schema.is_due(call.writes):
                await self._schema.check(call.writes, call.due)
            hints = call.hints
            if hints and self._router.is_cluster:
                await self._send_hints(hints, call.due)
                hints = call.hints = ()
            replies = await self._router.send(
                call.keys.tag, call.command, call.script, self._wait_command if call.writes else None, hints, call.due
            )
        except DENIED as problem:
            raise AccessDenied(where=self.where, detail=str(problem)) from None
        except (ConnectionRejected, ConnectImpossible) as problem:
            raise transport_failure(self.where, call, problem) from problem
        if hints:
            found, replies = replies[: len(hints)], replies[len(hints) :]
            read = [not isinstance(one, Exception) and hint.read(one) for hint, one in zip(hints, found, strict=True)]
            self._note_hints(hints, read)
        return replies

    async def _send_hints(self, hints: Sequence[Call[Any]], due: float) -> None:
        """Send hints to the nodes of a cluster that hold them. They may take half of the time until `due`."""
        now = time.monotonic()
        results: list[Any] = [None] * len(hints)
        if now >= self._hints_from:
            results = await self.send_once(hints, now + (due - now) / 2)
        if any(isinstance(result, StoreUnavailable) for result in results):
            self._hints_from = time.monotonic() + _HINT_PAUSE_SECONDS
        self._note_hints(hints, results)

    def _note_hints(self, hints: Sequence[Call[Any]], results: Sequence[Any]) -> None:
        """Have the sessions repaired whose hints did not work."""
        for hint, result in zip(hints, results, strict=True):
            if result is not True and hint.about and (observer := self.observer()) is not None:
                observer.repair_later([hint.about])

    def _check_acks(self, call: Call[Any], reply: Any) -> None:
        """Raise NotReplicated when too few replicas acknowledged the write."""
        if isinstance(reply, NoPermissionError):
            raise AccessDenied(where=self.where, detail=f"the write was made, but acks needs WAIT: {reply}")
        acked = reply if isinstance(reply, int) else 0  # a master that was demoted since answers with an error
        if acked < self.acks:
            facts = {"session_id": call.keys.id, "acked": acked, "wanted": self.acks}
            raise NotReplicated(**facts, **repeat_advice(call, "check whether replicas are connected"))
