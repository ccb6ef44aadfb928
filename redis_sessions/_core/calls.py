"""A call as a value: what to send, where, and how to read the reply. Nothing here waits or talks to a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from .keys import AnyKeys, SessionKeys
from .scripts import Script

Argument: TypeAlias = str | bytes | int
T = TypeVar("T")


class Call(Generic[T]):
    """One command, routed by a tag. `operation` is the id that makes a change safe to repeat; empty for reads.

    What is not `repeatable` is not sent again when it may have run. `ahead` are calls that are made right before it, as
    hints: their answers are of no interest.
    """

    __slots__ = ("ahead", "command", "keys", "operation", "read", "repeatable", "script", "writes")

    def __init__(
        self,
        command: tuple[Argument, ...],
        keys: AnyKeys,
        read: Callable[[Any], T],
        script: Script | None = None,
        operation: str = "",
        writes: bool = True,
    ) -> None:
        self.command = command
        self.keys = keys
        self.read = read
        self.script = script
        self.operation = operation
        self.writes = writes
        self.repeatable = True
        self.ahead: Sequence[Call[Any]] = ()

    def again(self, elapsed_ms: int) -> None:
        """Before it is repeated: tells the script how long ago it was first tried, if that is of use to it."""
        if self.script is not None and "elapsed" in self.script.arguments:
            at = 3 + int(self.command[2]) + self.script.arguments.index("elapsed")
            self.command = (*self.command[:at], elapsed_ms, *self.command[at + 1 :])

    def learn(self, ancestors: Sequence[str]) -> None:
        """Names the ancestors of a child that the script asked for."""
        assert self.script is not None
        assert isinstance(self.keys, SessionKeys)
        self.keys.learn(ancestors)
        fixed = 3 + len(self.script.keys)
        arguments = self.command[3 + int(self.command[2]) :]
        family = self.keys.family
        self.command = (*self.command[:2], fixed - 3 + len(family), *self.command[3:fixed], *family, *arguments)


def invoke(
    script: Script,
    keys: AnyKeys,
    read: Callable[[Any], T],
    *,
    rest: Sequence[Argument] = (),
    others: Mapping[str, str] | None = None,
    rest_keys: Sequence[str] | None = None,
    operation: str = "",
    writes: bool = True,
    **arguments: Argument,
) -> Call[T]:
    """A call of a script, its arguments given by the names its binding block gives them.

    Its keys are those of `keys` by the same names, or `others`; what it takes beyond them is the family, or `rest_keys`.
    """
    wanted = script.arguments[:-1] if script.takes_rest else script.arguments
    if len(arguments) != len(wanted):
        raise TypeError(f"{script.name} takes {', '.join(wanted)}; got {', '.join(arguments)}")
    if others is None:
        named = [getattr(keys, name) for name in script.keys]
    else:
        named = [others[name] if name in others else getattr(keys, name) for name in script.keys]
    if script.rest_keys:
        named += getattr(keys, "family", ()) if rest_keys is None else rest_keys
    command = ("EVALSHA", script.sha, len(named), *named, *[arguments[name] for name in wanted], *rest)
    return Call(command, keys, read, script, operation, writes)
