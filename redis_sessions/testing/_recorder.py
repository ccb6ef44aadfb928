"""A recorder of the calls by which the code under test writes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, NamedTuple

from .. import (
    AsyncCheckpoints,
    AsyncDocuments,
    AsyncLease,
    AsyncLoop,
    AsyncPart,
    AsyncRun,
    AsyncSession,
    AsyncSessionCache,
    AsyncSharedScope,
    AsyncState,
    AsyncVariables,
    Checkpoints,
    Documents,
    Lease,
    Loop,
    Message,
    Part,
    Run,
    Session,
    SessionCache,
    SharedScope,
    State,
    Variables,
)
from ..errors import InvalidInput

_VALUES = ("put", "patch", "delete", "clear", "add")
_SESSION = (
    "append", "append_new", "send", "publish", "patch", "touch", "delete", "fork", "pin", "unpin", "clear", "pop",
    "replace", "abandon_calls", "compact", "import_messages", "pause", "resume", "complete", "fail", "cancel", "time_out",
    "retry", "spawn", "request_cancel", "start_loop", "reencrypt",
)  # fmt: skip
_WRITES: dict[tuple[type, type], tuple[str, ...]] = {
    (SessionCache, AsyncSessionCache): (
        "create", "get_or_create", "conversation", "main_session", "import_sessions", "claim", "prune", "forget",
        "limit_agent", "delete", "put_documents", "delete_documents", "recover", "reencrypt", "sweep_blobs",
    ),
    (Session, AsyncSession): _SESSION,
    (Run, AsyncRun): (*_SESSION, "finish", "release", "extend"),
    (Lease, AsyncLease): ("acquire", "renew", "release", "receive"),
    (State, AsyncState): _VALUES,
    (Variables, AsyncVariables): ("put", "patch", "delete", "clear"),
    (SharedScope, AsyncSharedScope): _VALUES,
    (Documents, AsyncDocuments): ("put", "put_json", "put_bytes", "put_many", "delete", "delete_many"),
    (Checkpoints, AsyncCheckpoints): ("put", "write", "drop", "copy", "delete"),
    (Part, AsyncPart): ("append", "put", "replace", "clear", "delete"),
    (Loop, AsyncLoop): (
        "run", "complete", "reject", "abort", "record_usage", "add_turn", "add_event", "put_metadata", "select",
    ),
}  # fmt: skip
"""The methods that write, by class."""
_NOUNS = {"SessionCache": "cache", "SharedScope": "shared"}
_TAKING = ("append", "append_new", "send", "finish")
"""The methods that take messages."""
_is_inside: ContextVar[bool] = ContextVar("redis_sessions_recorded_call", default=False)
_recorders: list[Recorder] = []


class RecordedCall(NamedTuple):
    """A call that wrote, or was refused."""

    name: str
    """The noun and the method, such as session.append, state.put, run.complete or cache.create."""
    target: str
    """The ID of the session, loop, part or thread, the scope, or the category. '' for a call of the cache."""
    args: tuple[Any, ...]
    """The arguments by position, as they were given."""
    kwargs: dict[str, Any]
    """The arguments by name."""
    result: Any = None
    """Its result."""
    error: BaseException | None = None
    """The error that the call raised."""


class Recorder:
    """The calls that wrote while a block of `record` ran, in the order of their ends. Calls inside of calls are left out."""

    def __init__(self, cache: SessionCache | AsyncSessionCache | None) -> None:
        self.calls: list[RecordedCall] = []
        """All calls, those included that were refused."""
        self._cache = cache

    def named(self, name: str) -> list[RecordedCall]:
        """Return the calls with a name such as session.append. Raises InvalidInput for a name that no call can have."""
        known = {f"{_noun(cls)}.{method}" for (cls, _), methods in _WRITES.items() for method in methods}
        if name not in known:
            raise InvalidInput(name="name", detail=f"must be one of {', '.join(sorted(known))}, got {name!r}")
        return [call for call in self.calls if call.name == name]

    @property
    def messages(self) -> list[tuple[str, Any]]:
        """The session and the payload of each message that `append`, `append_new`, `send` and `finish` took, in order."""
        found: list[tuple[str, Any]] = []
        for call in self.calls:
            noun, _, method = call.name.partition(".")
            if call.error is None and noun in ("session", "run") and method in _TAKING:
                found += [(call.target, one.payload if isinstance(one, Message) else one) for one in call.args]
        return found

    def clear(self) -> None:
        """Forget the calls so far."""
        self.calls.clear()

    def _is_of(self, target: object) -> bool:
        return self._cache is None or getattr(target, "_context", None) in (None, self._cache._context)


@contextmanager
def record(cache: SessionCache | AsyncSessionCache | None = None) -> Iterator[Recorder]:
    """Record the calls that write, of all threads and tasks, until the end of the block.

    Args:
        cache: record the calls of this cache and of its handles only. Default: those of all caches. The calls of a state, of
            variables and of documents are recorded in any case.
    """
    recorder = Recorder(cache)
    if not _recorders:
        _install()
    _recorders.append(recorder)
    try:
        yield recorder
    finally:
        _recorders.remove(recorder)
        if not _recorders:
            _uninstall()


_originals: dict[tuple[type, str], Any] = {}


def _install() -> None:
    """Put a recording function in the place of each method that writes. A class that inherits the method keeps inheriting it."""
    for pair, methods in _WRITES.items():
        for cls in pair:
            for method in methods:
                owner = next(one for one in cls.__mro__ if method in vars(one))
                if (owner, method) not in _originals:
                    _originals[owner, method] = vars(owner)[method]
                    setattr(owner, method, _recording(vars(owner)[method]))


def _uninstall() -> None:
    for (owner, method), original in _originals.items():
        setattr(owner, method, original)
    _originals.clear()


def _recording(method: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        @wraps(method)
        async def recorded_async(self: Any, *args: Any, **kwargs: Any) -> Any:
            with _noted(self, method, args, kwargs) as result:
                result.append(await method(self, *args, **kwargs))
            return result[0]

        return recorded_async

    @wraps(method)
    def recorded(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _noted(self, method, args, kwargs) as result:
            result.append(method(self, *args, **kwargs))
        return result[0]

    return recorded


@contextmanager
def _noted(
    target: Any, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[list[Any]]:
    """Record the call that is made in the block, unless another one that is recorded makes it. Yield a list for its result."""
    result: list[Any] = []
    if _is_inside.get():
        yield result
        return
    token = _is_inside.set(True)
    try:
        yield result
    except BaseException as problem:
        _note(target, method.__name__, args, kwargs, error=problem)
        raise
    finally:
        _is_inside.reset(token)
    _note(target, method.__name__, args, kwargs, result=result[0])


def _note(target: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any], **outcome: Any) -> None:
    call = RecordedCall(f"{_noun(type(target))}.{method}", _id_of(target), args, dict(kwargs), **outcome)
    for recorder in _recorders:
        if recorder._is_of(target):
            recorder.calls.append(call)


def _noun(cls: type) -> str:
    """Return the noun of a class: its own, or that of the nearest class that it extends."""
    known = {one for pair in _WRITES for one in pair}
    name = next(one for one in cls.__mro__ if one in known).__name__.removeprefix("Async")
    return _NOUNS.get(name, name.lower())


def _id_of(target: Any) -> str:
    """Return the ID of what a call is about."""
    for name in ("id", "category", "scope", "name"):
        found = getattr(target, name, None)
        if isinstance(found, str):
            return found
    keys = getattr(target, "_keys", None)
    return str(getattr(keys, "id", ""))
