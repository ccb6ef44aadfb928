"""What all errors have in common: a message made of facts, which are attributes too."""

from __future__ import annotations

from typing import Any, ClassVar, Self


class SessionsError(Exception):
    """Base of all errors of this package. `facts` holds what the message was made of; each is an attribute too."""

    code: ClassVar[str] = ""
    reply: ClassVar[tuple[str, ...]] = ()
    template: ClassVar[str] = "{detail}"

    def __init__(self, **facts: Any) -> None:
        self.facts = facts
        self.__dict__.update(facts)
        super().__init__(self.template.format(**facts))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.facts)

    @classmethod
    def from_reply(cls, session_id: str, words: list[str]) -> Self:
        """The error that a script's refusal means: its words after the first are the `reply` fields."""
        facts = dict(zip(cls.reply, words, strict=False))
        numbers = {name for name, kind in cls.__annotations__.items() if kind == "int"}
        return cls(
            session_id=session_id, **{name: int(word) if name in numbers else word for name, word in facts.items()}
        )


def _rebuild(cls: type[SessionsError], facts: dict[str, Any]) -> SessionsError:
    return cls(**facts)


class InvalidInput(SessionsError, ValueError):
    """An argument was refused before anything was sent."""

    template = "{name}: {detail}"
    name: str
    detail: str


class InvalidState(InvalidInput):
    """A stored value does not have the type that was asked for."""
