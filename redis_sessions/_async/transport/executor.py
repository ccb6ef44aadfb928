"""Run calls: retry what is worth a retry within one time bound, and turn refusals into errors."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from ..._core.protocol.call import Call
from ..._core.protocol.keys import SCHEMA_VERSION, meta_key, session_keys
from ..._core.protocol.transport_errors import (
    DENIED_WORDS,
    NOT_READY_WORDS,
    ConnectFailed,
    ConnectionLost,
    ConnectionRejected,
    QueueNeeded,
    ServerNotReady,
    TransportError,
    error_word,
)
from ...errors import (
    BY_REFUSAL,
    AccessDenied,
    LimitExceeded,
    NotReplicated,
    OutcomeUnknown,
    SchemaMismatch,
    SessionsError,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from . import primitives
from .router import Router

T = TypeVar("T")
_HINT_PAUSE_SECONDS = 10.0
"""In a cluster: how long no hints are sent after a node did not answer one, so that its failure delays one call only."""
_MAX_KNOWN_ANCESTORS = 10_000
"""Children whose ancestors a process remembers."""
_META = Call(("GET", "meta"), session_keys("sessions", "meta"), lambda reply: reply, writes=False)
_RETRYABLE = (ConnectFailed, ConnectionLost, ServerNotReady)
_NOT_READY = (
    ReadOnlyError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    TryAgainError,
    AskError,
    NoScriptError,  # SCRIPT FLUSH came between the loading of the script and its call
)
_DENIED = (AuthenticationError, NoPermissionError)


class WriteObserver(Protocol):
    """Hears of every write of a session. The indexer is one."""

    def before_write(self, call: Call[Any], now: float) -> None:
        """Prepare for the first attempt, for example by adding hints to the call."""

    def before_retry(self, call: Call[Any]) -> None:
        """Prepare for another attempt."""

    def after_write(self, call: Call[Any]) -> bool:
        """Take note that the call is over. Return whether `flush` must be awaited before the result is handed over."""
        ...

    def mark_unknown(self, id: str) -> None:
        """Take note that a session may have changed in a way that the call does not say."""

    async def flush(self) -> None:
        """Do the work that has piled up."""


class Executor:
    """Runs calls on the nodes of one engine, for one namespace."""

    def __init__(
        self, router: Router, where: str, namespace: str, retry_for: float, acks: int = 0, wait_ms: int = 0
    ) -> None:
        self._router = router
        self.where = where
        self._namespace = namespace
        self.retry_for = retry_for
        self.acks = acks
        self._wait_ms = wait_ms
        self._wait_command = ("WAIT", acks, wait_ms) if acks else None
        self._is_checked = False
        self._ancestors: dict[str, tuple[str, ...]] = {}
        self._hints_from = 0.0
        self.observer: WriteObserver | None = None

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
            self._ancestors.pop(next(iter(self._ancestors)), None)
        self._ancestors[id] = tuple(ancestors)

    async def run(self, call: Call[T]) -> T:
        """Return the result of a call. A transport error is retried for `retry_for` seconds."""
        began = time.monotonic()
        observer = self.observer if call.index_effect != "none" else None
        if observer is not None:
            observer.before_write(call, began)
        try:
            return await self._attempt(call)
        except _RETRYABLE as problem:
            if observer is not None:
                observer.before_retry(call)
            return await self._retry(call, problem, began)
        except LimitExceeded:
            if observer is not None:
                observer.mark_unknown(call.keys.id)  # the limit may have ended the session
            raise
        finally:
            if observer is not None and observer.after_write(call):
                await observer.flush()

    async def run_many(self, calls: Sequence[Call[T]]) -> list[T | SessionsError]:
        """Return the results of calls, with errors as values. One round trip to each node.

        What a node does not answer at once is retried, for `retry_for` seconds in all.
        """
        results = await self.try_many(calls)
        gave_up: SessionsError | None = None
        for at, result in enumerate(results):
            if isinstance(result, StoreUnavailable):
                if gave_up is not None:
                    results[at] = gave_up
                    continue
                try:
                    found: T = await self.run(calls[at])
                    results[at] = found
                except StoreUnavailable as problem:
                    results[at] = gave_up = problem.with_traceback(
                        None
                    )  # with it, it would hold all callers' variables
                except SessionsError as problem:
                    results[at] = problem.with_traceback(None)
        return results

    async def get_many(self, calls: Sequence[Call[T]]) -> list[T]:
        """Return the results of calls, as `run_many` does. Raise the first error among them."""
        results: list[T] = []
        for result in await self.run_many(calls):
            if isinstance(result, SessionsError):
                raise result
            results.append(result)
        return results

    async def try_many(self, calls: Sequence[Call[T]]) -> list[T | SessionsError]:
        """Return the results of calls, as `run_many` does, without retries: StoreUnavailable where a node does not answer."""
        results: list[T | SessionsError] = []
        try:
            if not self._is_checked:
                await self._check_schema()
            replies = await self._router.send_many([(call.keys.tag, call.command) for call in calls])
        except _DENIED as problem:
            raise AccessDenied(where=self.where, detail=str(problem)) from None
        except TransportError as problem:
            replies = [problem] * len(calls)
        for call, reply in zip(calls, replies, strict=True):
            try:
                if isinstance(reply, TransportError):
                    results.append(StoreUnavailable(where=self.where, waited=0.0, detail=str(reply)))
                elif isinstance(reply, Exception):
                    result: T = await self.run(call)  # alone, it is routed and loaded as needed
                    results.append(result)
                else:
                    results.append(call.read(reply))
            except SessionsError as problem:
                results.append(problem.with_traceback(None))
        return results

    async def _retry(self, call: Call[T], first: Exception, began: float) -> T:
        may_have_run = isinstance(first, ConnectionLost)
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
                    call.mark_retry(math.ceil((time.monotonic() - began) * 1000))
                    try:
                        return await self._attempt(call)
                    except ConnectionLost:
                        may_have_run = True
                        raise
        except _RETRYABLE as problem:
            waited = time.monotonic() - began
            if may_have_run and call.writes:
                advice = _repeat_advice(call, "look at what is stored before you repeat the call")
                raise OutcomeUnknown(session_id=call.keys.id, waited=waited, detail=str(problem), **advice) from problem
            raise StoreUnavailable(where=self.where, waited=waited, detail=str(problem)) from problem
        raise AssertionError("unreachable: tenacity returns or raises")

    async def _attempt(self, call: Call[T]) -> T:
        try:
            if not self._is_checked:
                await self._check_schema()
            hints = call.hints
            if hints and self._router.is_cluster:
                await self._send_hints(hints)
                hints = call.hints = ()
            replies = await self._router.send(
                call.keys.tag, call.command, call.script, self._wait_command if call.writes else None, hints
            )
        except _DENIED as problem:
            raise AccessDenied(where=self.where, detail=str(problem)) from None
        except ConnectionRejected as problem:
            raise StoreError(where=self.where, detail=str(problem)) from None
        reply = replies[0]
        if isinstance(reply, Exception):
            word, *ancestors = str(reply).split()
            if word == "NEED_ANCESTORS":
                self.remember_ancestors(call.keys.id, ancestors)
                call.add_ancestors(ancestors)
                call.hints = ()
                return await self._attempt(call)
            if word == "NEED_QUEUE":
                raise QueueNeeded(ancestors[0])
            raise self._error(call, reply)
        if len(replies) > 1 and replies[1] != self.acks:
            self._check_acks(call, replies[1])
        return call.read(reply)

    async def _send_hints(self, hints: Sequence[Call[Any]]) -> None:
        """Send hints to the nodes of a cluster that hold them."""
        if time.monotonic() < self._hints_from:
            return
        results = await self.try_many(hints)
        if any(isinstance(result, StoreUnavailable) for result in results):
            self._hints_from = time.monotonic() + _HINT_PAUSE_SECONDS

    def _check_acks(self, call: Call[Any], reply: Any) -> None:
        """Raise NotReplicated when too few replicas acknowledged the write."""
        if isinstance(reply, NoPermissionError):
            raise AccessDenied(where=self.where, detail=f"the write was made, but acks needs WAIT: {reply}")
        acked = reply if isinstance(reply, int) else 0  # a master that was demoted since answers with an error
        if acked < self.acks:
            facts = {"session_id": call.keys.id, "acked": acked, "wanted": self.acks}
            raise NotReplicated(**facts, **_repeat_advice(call, "check whether replicas are connected"))

    def _error(self, call: Call[Any], reply: Exception) -> Exception:
        text = str(reply)
        word, *facts = text.split() or [""]
        refusal = BY_REFUSAL.get(word)
        if refusal is not None and type(reply) is ResponseError:
            return refusal.from_reply(call.keys.id, facts)
        word = error_word(text)
        if isinstance(reply, OutOfMemoryError) or word == "OOM":
            return StoreFull(where=self.where)
        if isinstance(reply, _DENIED) or word in DENIED_WORDS:
            return AccessDenied(where=self.where, detail=text)
        if isinstance(reply, MovedError):
            return StoreError(where=self.where, detail="this is a node of a cluster: use redis+cluster://")
        if isinstance(reply, _NOT_READY) or word in NOT_READY_WORDS:
            return ServerNotReady(text)
        return StoreError(where=self.where, detail=text)

    async def _check_schema(self) -> None:
        """Claim the namespace for this schema version, once a cache, or refuse another version's data."""
        key = meta_key(self._namespace)
        found: Any = SCHEMA_VERSION.encode()
        for command in (("SET", key, SCHEMA_VERSION, "NX"), ("GET", key)):
            (found,) = await self._router.send(key, command)
            if isinstance(found, Exception):
                raise self._error(_META, found)
        if found != SCHEMA_VERSION.encode():
            text = found.decode() if isinstance(found, bytes) else repr(found)
            raise SchemaMismatch(namespace=self._namespace, found=text, wanted=SCHEMA_VERSION)
        self._is_checked = True


def _repeat_advice(call: Call[Any], otherwise: str) -> dict[str, Any]:
    """Return the batch ID with which a call can be repeated, and the advice to do so."""
    batch_id = call.operation or None
    advice = f"Repeat it with batch_id={batch_id!r}: it is carried out once, however often it is repeated"
    return {"batch_id": batch_id, "advice": advice if batch_id else otherwise[0].upper() + otherwise[1:]}
