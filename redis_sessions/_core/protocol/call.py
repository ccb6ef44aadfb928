"""A call as a value: what to send, where, and how to read the reply. Nothing here waits or talks to a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from ...errors import SessionDamaged, SessionsError
from .keys import AnyKeys, SessionKeys, StagedKeys
from .scripts import IndexEffect, Script, creating

Argument: TypeAlias = str | bytes | int
Command: TypeAlias = tuple[Argument, ...]
T = TypeVar("T")


class Call(Generic[T]):
    """One command or script call, routed by the hash tag of its keys."""

    script: Script | None = None
    due = 0.0
    """The time by `time.monotonic` at which the present attempt must be over. The executor sets it."""
    operation = ""
    """The ID with which a caller can repeat the call after OutcomeUnknown, or ''."""
    idempotent = True
    """False if the call must not be retried after its outcome became unknown."""
    index_effect: IndexEffect = "none"
    """The effect that the script's header states, or a smaller one if the arguments exclude the rest."""
    hints: Sequence[Call[Any]] = ()
    """Calls that must precede this one, such as the index entry of a session to be created. Each result says if it worked."""
    stores = True
    """False if a write stores nothing new, so that it does not create a session that is missing."""
    about = ""
    """Of a hint: the ID of the session that the hint is about."""
    plans = 0
    """The number of revisions for which a part of the call read the transcript (NEED_PLAN)."""
    moved = 0
    """Messages of a long inbox that parts of the call moved before the last one (NEED_REPEAT)."""
    retries = 0
    """The number of attempts after the first one."""
    fixed_keys: Sequence[str] = ()
    rest_keys: Sequence[str] | None = None
    last_keys: Sequence[str] = ()
    """Keys behind all others, which a script knows by their count."""
    rest: Sequence[Argument] = ()

    def __init__(self, command: Command, keys: AnyKeys, read: Callable[[Any], T], *, writes: bool = True) -> None:
        """A plain command. `invoke` makes the call of a script.

        Args:
            read: turns the reply into the result.
            writes: False if the command only reads.
        """
        self._plain = command
        self.keys = keys
        self.read = read
        self.writes = writes
        self.arguments: dict[str, Argument] = {}

    def result(self, reply: Any) -> T:
        """Return the result that a reply stands for. Raises SessionDamaged for a stored record that cannot be read."""
        try:
            return self.read(reply)
        except SessionsError:
            raise
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as problem:
            detail = f"a stored record cannot be read ({type(problem).__name__}: {problem})"
            raise SessionDamaged(session_id=self.keys.id, detail=detail) from problem

    @property
    def command(self) -> Command:
        """The command as it is sent."""
        script = self.script
        if script is None:
            return self._plain
        keys: Sequence[str] = self.fixed_keys
        if script.rest_keys:
            rest_keys = getattr(self.keys, "ancestor_keys", ()) if self.rest_keys is None else self.rest_keys
            keys = [*keys, *rest_keys, *self.last_keys]
        return ("EVALSHA", script.sha, len(keys), *keys, *script.pick_arguments(self.arguments), *self.rest)

    def create_first(self, creation: Sequence[Argument]) -> None:
        """Have the script create its session first if it does not exist. `creation` is what sessions/create takes."""
        assert self.script is not None
        self.script = creating(self.script.name)
        self.rest = [*self.rest, *creation, len(creation)]

    def mark_retry(self, elapsed_ms: int) -> None:
        """Count an attempt, and tell the script how long ago the call was first tried, if the script has a use for that."""
        self.retries += 1
        if "elapsed_ms" in self.arguments:
            self.arguments["elapsed_ms"] = elapsed_ms

    def add_ancestors(self, ancestors: Sequence[str]) -> None:
        """Name the ancestors that the script asked for (NEED_ANCESTORS), so that the next attempt declares their keys."""
        assert isinstance(self.keys, SessionKeys)
        self.keys.set_ancestors(ancestors)

    def take_copy(self, copy: StagedKeys, rev: int) -> None:
        """Name the keys to which messages were copied, and the revision of the copy."""
        assert self.script is not None
        named = zip(self.script.keys, self.fixed_keys, strict=True)
        keys = {"copy": copy.elements, "kept_copy": copy.fields}
        self.fixed_keys = [keys.get(name, before) for name, before in named]
        self.arguments["copied_rev"] = rev

    def continue_plan(self, plan: str) -> bool:
        """Give the script what it has read so far (NEED_PLAN). Return whether the script began at a new revision."""
        before = str(self.arguments["plan"])
        self.arguments["plan"] = plan
        return before.split()[:1] != plan.split()[:1]


def invoke(
    script: Script,
    keys: AnyKeys,
    read: Callable[[Any], T],
    *,
    rest: Sequence[Argument] = (),
    other_keys: Mapping[str, str] | None = None,
    rest_keys: Sequence[str] | None = None,
    operation: str = "",
    writes: bool = True,
    **arguments: Argument,
) -> Call[T]:
    """Return the call of a script, with arguments by the names of its binding block.

    Args:
        keys: its attributes give the script's fixed keys by name, and `ancestor_keys` the keys behind them.
        read: turns the reply into the result.
        rest: the values of the script's last argument, if that takes any number of them.
        other_keys: fixed keys by name that `keys` does not have.
        rest_keys: the keys behind the fixed ones, instead of the ancestors' keys.
        operation: the ID with which a caller can repeat the call.
        writes: False if the script only reads.
    """
    if len(arguments) != len(script.fixed_arguments):
        raise TypeError(f"{script.name} takes {', '.join(script.fixed_arguments)}; got {', '.join(arguments)}")
    call = Call((), keys, read, writes=writes)
    call.script = script
    call.index_effect = script.index
    call.operation = operation
    call.arguments = arguments
    call.rest = rest
    call.rest_keys = rest_keys
    if other_keys is None:
        call.fixed_keys = script.pick_keys(keys)
    else:
        call.fixed_keys = [other_keys[name] if name in other_keys else getattr(keys, name) for name in script.keys]
    return call
