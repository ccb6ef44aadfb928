"""Carries out calls: retries what is worth it within one bound, and turns refusals into errors."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, TypeVar

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

from .._core.calls import Call
from .._core.faults import DENIED, NOT_SERVING, Fault, Lost, NotServing, Refused, Unreachable, word_of
from .._core.keys import SCHEMA, meta_key, session_keys
from ..errors import (
    BY_CODE,
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
from . import io
from .indexes import Indexes
from .nodes import Nodes

T = TypeVar("T")
_NO_HINTS = 10.0  # seconds
_REMEMBERED = 10_000  # children whose ancestors a process keeps in mind
_META = Call(("GET", "meta"), session_keys("sessions", "meta"), lambda reply: reply, writes=False)
_UNSETTLED = "the cap dropped all messages of that time, so nobody can tell whether it was among them"
_PASSING = (Unreachable, Lost, NotServing)
_NOT_SERVING = (
    ReadOnlyError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    TryAgainError,
    AskError,
    NoScriptError,  # flushed again between its loading and its call
)
_DENIED = (AuthenticationError, NoPermissionError)


class Calls:
    """Runs calls against the nodes of one engine, for one namespace."""

    def __init__(
        self, nodes: Nodes, where: str, namespace: str, retry_for: float, acks: int = 0, patience_ms: int = 0
    ) -> None:
        self._nodes = nodes
        self.where = where
        self._namespace = namespace
        self.retry_for = retry_for
        self.acks = acks
        self._wait = ("WAIT", acks, patience_ms) if acks else None
        self._checked = False
        self._ancestors: dict[str, tuple[str, ...]] = {}
        self._no_hints_until = 0.0
        self.indexes: Indexes | None = None
        """Told of what is written."""

    def ancestors(self, id: str) -> tuple[str, ...]:
        """The ancestors of a child, as far as this process has met it."""
        return self._ancestors.get(id, ())

    def remember(self, id: str, ancestors: Sequence[str]) -> None:
        """Keeps who a child's ancestors are, so that its next call names them at once."""
        if len(self._ancestors) >= _REMEMBERED:
            self._ancestors.pop(next(iter(self._ancestors)), None)
        self._ancestors[id] = tuple(ancestors)

    async def run(self, call: Call[T]) -> T:
        """The call's answer. A first attempt costs nothing extra; what passes is repeated for `retry_for` seconds."""
        began = time.monotonic()
        indexes = self.indexes if call.script is not None and call.script.writes_session else None
        if indexes is not None:
            indexes.begin(call, began)
        try:
            return await self._attempt(call)
        except _PASSING as problem:
            if indexes is not None:
                indexes.begin_again(call)
            return await self._repeat(call, problem, began)
        except LimitExceeded:
            if indexes is not None:
                indexes.doubt(call.keys.id)  # it may have ended
            raise
        finally:
            if indexes is not None and indexes.end(call):
                await indexes.catch_up()

    async def run_many(self, calls: Sequence[Call[T]]) -> list[T | SessionsError]:
        """The answers, with errors among them as values; one round trip to each node that is asked.

        What cannot be had at once is repeated, `retry_for` seconds in all.
        """
        answers = await self.try_many(calls)
        gave_up: SessionsError | None = None
        for at, answer in enumerate(answers):
            if isinstance(answer, StoreUnavailable):
                if gave_up is not None:
                    answers[at] = gave_up
                    continue
                try:
                    found: T = await self.run(calls[at])
                    answers[at] = found
                except StoreUnavailable as problem:
                    answers[at] = gave_up = problem
                except SessionsError as problem:
                    answers[at] = problem
        return answers

    async def get_many(self, calls: Sequence[Call[T]]) -> list[T]:
        """Like `run_many`, but the first error among the answers is raised."""
        answers: list[T] = []
        for answer in await self.run_many(calls):
            if isinstance(answer, SessionsError):
                raise answer
            answers.append(answer)
        return answers

    async def try_many(self, calls: Sequence[Call[T]]) -> list[T | SessionsError]:
        """Like `run_many`, but what cannot be had at once is StoreUnavailable."""
        answers: list[T | SessionsError] = []
        try:
            if not self._checked:
                await self._check_schema()
            sent = await self._nodes.send_many([(call.keys.tag, call.command) for call in calls])
        except _DENIED as problem:
            raise AccessDenied(where=self.where, detail=str(problem)) from None
        except Fault as problem:
            sent = [problem] * len(calls)
        for call, reply in zip(calls, sent, strict=True):
            try:
                if isinstance(reply, Fault):
                    answers.append(StoreUnavailable(where=self.where, waited=0.0, detail=str(reply)))
                elif isinstance(reply, Exception):
                    answer: T = await self.run(call)  # alone, it goes where it should
                    answers.append(answer)
                else:
                    answers.append(call.read(reply))
            except SessionsError as problem:
                answers.append(problem)
        return answers

    async def _repeat(self, call: Call[T], first: Exception, began: float) -> T:
        ran = isinstance(first, Lost)
        left = self.retry_for - (time.monotonic() - began)
        try:
            if left <= 0 or (ran and not call.repeatable):
                raise first
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(_PASSING),
                stop=stop_after_delay(left),
                wait=wait_random_exponential(multiplier=0.02, max=0.5),
                sleep=io.sleep,
                reraise=True,
            ):
                with attempt:
                    call.again(math.ceil((time.monotonic() - began) * 1000))
                    try:
                        return await self._attempt(call)
                    except Lost:
                        ran = True
                        raise
        except _PASSING as problem:
            waited = time.monotonic() - began
            detail = str(problem)
            if ran and call.writes:
                raise self._unknown(call, waited, detail) from problem
            raise StoreUnavailable(where=self.where, waited=waited, detail=detail) from problem
        raise AssertionError("unreachable: tenacity returns or raises")

    async def _attempt(self, call: Call[T]) -> T:
        try:
            if not self._checked:
                await self._check_schema()
            ahead = call.ahead
            if ahead and self._nodes.is_cluster:
                await self._go_ahead(ahead)
                ahead = call.ahead = ()
            replies = await self._nodes.send(
                call.keys.tag, call.command, call.script, self._wait if call.writes else None, ahead
            )
        except _DENIED as problem:
            raise AccessDenied(where=self.where, detail=str(problem)) from None
        except Refused as problem:
            raise StoreError(where=self.where, detail=str(problem)) from None
        reply = replies[0]
        if isinstance(reply, Exception):
            word, *ancestors = str(reply).split()
            if word == "CHAIN":
                self.remember(call.keys.id, ancestors)
                call.learn(ancestors)
                call.ahead = ()
                return await self._attempt(call)
            raise self._error(call, reply)
        if len(replies) > 1 and replies[1] != self.acks:
            self._check_acks(call, replies[1])
        return call.read(reply)

    async def _go_ahead(self, hints: Sequence[Call[Any]]) -> None:
        """Makes hints where they have nodes of their own; while one of those hangs, nobody waits for it twice."""
        if time.monotonic() < self._no_hints_until:
            return
        found = await self.try_many(hints)
        if any(isinstance(answer, StoreUnavailable) for answer in found):
            self._no_hints_until = time.monotonic() + _NO_HINTS

    def _check_acks(self, call: Call[Any], waited: Any) -> None:
        """Raises NotReplicated when too few replicas have what was written on this connection."""
        if isinstance(waited, NoPermissionError):
            raise AccessDenied(where=self.where, detail=f"the write was made, but acks needs WAIT: {waited}")
        acked = waited if isinstance(waited, int) else 0  # a master that was demoted meanwhile answers with an error
        if acked < self.acks:
            facts = {"session_id": call.keys.id, "acked": acked, "wanted": self.acks}
            raise NotReplicated(**facts, **_again(call, "look whether replicas are connected"))

    def _unknown(self, call: Call[Any], waited: float, detail: str) -> OutcomeUnknown:
        again = _again(call, "look at what is there before you repeat the call")
        return OutcomeUnknown(session_id=call.keys.id, waited=waited, detail=detail, **again)

    def _error(self, call: Call[Any], reply: Exception) -> Exception:
        text = str(reply)
        word, *facts = text.split() or [""]
        known = BY_CODE.get(word)
        if word == "UNSETTLED":
            return self._unknown(call, self.retry_for, _UNSETTLED)
        if known is not None and type(reply) is ResponseError:
            return known.from_reply(call.keys.id, facts)
        word = word_of(text)
        if isinstance(reply, OutOfMemoryError) or word == "OOM":
            return StoreFull(where=self.where)
        if isinstance(reply, _DENIED) or word in DENIED:
            return AccessDenied(where=self.where, detail=text)
        if isinstance(reply, MovedError):
            return StoreError(where=self.where, detail="this is a node of a cluster: use redis+cluster://")
        if isinstance(reply, _NOT_SERVING) or word in NOT_SERVING:
            return NotServing(text)
        return StoreError(where=self.where, detail=text)

    async def _check_schema(self) -> None:
        """Once a cache: claims the namespace for our schema, or refuses to touch another's."""
        key = meta_key(self._namespace)
        found: Any = SCHEMA.encode()
        for command in (("SET", key, SCHEMA, "NX"), ("GET", key)):
            (found,) = await self._nodes.send(key, command)
            if isinstance(found, Exception):
                raise self._error(_META, found)
        if found != SCHEMA.encode():
            text = found.decode() if isinstance(found, bytes) else repr(found)
            raise SchemaMismatch(namespace=self._namespace, found=text, wanted=SCHEMA)
        self._checked = True


def _again(call: Call[Any], otherwise: str) -> dict[str, Any]:
    """The batch id by which a call can be repeated, and the advice to do so."""
    batch_id = call.operation or None
    advice = f"repeat it with batch_id={batch_id!r}: it is carried out once however often it is repeated"
    return {"batch_id": batch_id, "advice": advice if batch_id else otherwise}
