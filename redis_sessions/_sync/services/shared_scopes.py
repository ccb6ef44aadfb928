# Generated from _async/services/shared_scopes.py by tools/mirror.py; edit that file.
"""The shared scopes of a namespace: their index, and the writes that travel with appends.

The index is a hint, as that of documents: it is written before the values, and checked by lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from ..._core.commands import outbox, shared
from ..._core.commands.outbox import Waiting
from ..._core.commands.session_fields import checked_text
from ..._core.commands.stored_values import result_or_default
from ..._core.protocol.call import Call
from ..._core.protocol.keys import SessionKeys
from ..._core.protocol.shared_keys import SharedKeys, scope_index_keys, shared_keys
from ..._durations import whole
from ...bounds import StorageBounds
from ...errors import (
    BoundExceeded,
    OutcomeUnknown,
    SessionNotFound,
    SessionReplaced,
    SessionsError,
    StoreUnavailable,
)
from ...models.pages import Page
from ..transport.executor import Executor
from .registered_names import RegisteredNames


class SharedScopes:
    """The shared scopes of one namespace."""

    def __init__(self, executor: Executor, namespace: str, bounds: StorageBounds, *, is_cluster: bool) -> None:
        self._executor = executor
        self._namespace = namespace
        self._bounds = bounds
        self._is_cluster = is_cluster
        self._index = scope_index_keys(namespace)
        self._registered = RegisteredNames(shared.REGISTERED_SECONDS)

    def keys_of(self, scope: str) -> SharedKeys:
        """Return the keys of a scope. Raises InvalidInput for a bad name."""
        return shared_keys(self._namespace, scope)

    # -- the index -----------------------------------------------------------------------------------------------------

    def register(self, scope: str) -> None:
        """Register a scope before a value is written there. A process does so once an hour. Raises BoundExceeded."""
        if scope in self._registered:
            return
        call = shared.register(self._index, scope, self._bounds)
        try:
            self._executor.run(call)
        except BoundExceeded:
            if not self._registered.may_make_room():
                raise
            self._remove_empty()
            self._executor.run(call)
        self._registered.add(scope)

    def registrations(self, scopes: Sequence[str], about: str) -> list[Call[Any]]:
        """Return hints that register scopes in the same round trip as the append of a session."""
        hints = []
        for scope in scopes:
            if scope not in self._registered:
                call = shared.register(self._index, scope, self._bounds)
                call.read, call.about = partial(self._take_registration, scope), about
                hints.append(call)
        return hints

    def _take_registration(self, scope: str, reply: object) -> bool:
        self._registered.add(scope)
        return True

    def page(self, prefix: str, limit: int, cursor: str | None) -> Page[str]:
        """Return a page of scopes that hold values. Empty ones leave the index, unless they were registered lately."""
        whole(limit, "limit", minimum=1, maximum=shared.MAX_PAGE_NAMES)
        for value, name in ((prefix, "prefix"), (cursor or "", "cursor")):
            checked_text(value, name)
        found: list[str] = []
        while True:
            names = self._executor.run(shared.registered(self._index, prefix, cursor, limit + 1))
            holding = self._holding(names)
            if empty := [name for name in names if name not in holding]:
                self._executor.run(shared.unregister(self._index, empty))
            found += holding
            if len(found) > limit:
                return Page(found[:limit], found[limit - 1])
            if len(names) <= limit:
                return Page(found, None)
            cursor = names[-1]

    def _holding(self, names: Sequence[str]) -> list[str]:
        counts = self._executor.run_many([shared.count(self.keys_of(name)) for name in names])
        return [name for name, count in zip(names, counts, strict=True) if result_or_default(count, 0)]

    def _remove_empty(self) -> None:
        for names in self._pages():
            holding = self._holding(names)
            self._executor.run(shared.unregister(self._index, [one for one in names if one not in holding]))

    def of_user(self, user: str) -> list[str]:
        """Return the registered scopes whose path ends with the ID of a user. One round trip for each 1,000 scopes."""
        return [name for names in self._pages() for name in names if name.endswith(f"/{user}")]

    def _pages(self) -> Iterator[list[str]]:
        cursor: str | None = None
        while True:
            names = self._executor.run(shared.registered(self._index, "", cursor, shared.MAX_PAGE_NAMES))
            yield names
            if len(names) < shared.MAX_PAGE_NAMES:
                return
            cursor = names[-1]

    def delete(self, scope: str) -> int:
        """Delete a scope. Return how many values it held. Three round trips."""
        keys = self.keys_of(scope)
        count = self._executor.run(shared.count(keys))
        self._executor.run(shared.delete_all(keys))
        self._executor.run(shared.unregister(self._index, [scope], at_once=True))
        self._registered.discard(scope)
        return count

    # -- writes that travel with an append -------------------------------------------------------------------------------

    def apply(self, keys: SessionKeys, waiting: Sequence[Waiting]) -> None:
        """Apply writes that a session keeps, oldest first, each once. Then the session forgets them.

        Raises BoundExceeded for a write that a scope refuses: that write is dropped.

        Cost: one round trip, in a cluster one to each node and one more.
        """
        refused = self._register_all(waiting)
        calls: list[Call[Any]] = [
            shared.write(self.keys_of(change.scope), change, one.operation, self._bounds)
            for one in waiting for change in one.changes if change.scope not in refused
        ]  # fmt: skip
        clear = outbox.clear(keys, waiting[0].incarnation, [one.rev for one in waiting])
        results = self._executor.run_many(calls if self._is_cluster else [*calls, clear])
        problems = [*refused.values(), *(one for one in results[: len(calls)] if isinstance(one, SessionsError))]
        for problem in problems:
            if not isinstance(problem, BoundExceeded):
                raise problem
        if self._is_cluster:
            results = self._executor.run_many([clear])
        if isinstance(results[-1], SessionsError) and not isinstance(results[-1], SessionNotFound | SessionReplaced):
            raise results[-1]
        if problems:
            raise problems[0]

    def _register_all(self, waiting: Sequence[Waiting]) -> dict[str, SessionsError]:
        """Register the scopes that are not registered yet. Return those that are too many, with the refusal of each."""
        refused: dict[str, SessionsError] = {}
        for scope in dict.fromkeys(change.scope for one in waiting for change in one.changes):
            try:
                self.register(scope)
            except BoundExceeded as problem:
                refused[scope] = problem
        return refused

    def apply_waiting(self, keys: SessionKeys, incarnation: str) -> None:
        """Apply what a session keeps, after another process died before it did so. Two round trips for each MB, see `apply`."""
        refusal: BoundExceeded | None = None
        while waiting := self._executor.run(outbox.read(keys, incarnation)):
            try:
                self.apply(keys, waiting)
            except BoundExceeded as problem:
                refusal = problem
        if refusal is not None:
            raise refusal

    def apply_own(self, keys: SessionKeys, own: Waiting, earlier: str, batch_id: str) -> None:
        """Apply the writes of an append, behind those that waited before. Raises OutcomeUnknown with the batch ID."""
        try:
            if earlier or not own.changes:
                self.apply_waiting(keys, own.incarnation)
            else:
                self.apply(keys, [own])
        except (StoreUnavailable, OutcomeUnknown) as problem:
            detail = f"the messages are stored, and their writes of shared scopes wait in the session ({problem})"
            raise OutcomeUnknown(
                session_id=keys.id,
                waited=self._executor.retry_for,
                detail=detail,
                batch_id=batch_id,
                advice="Repeat the append with this batch ID, or load the session",
            ) from problem
