"""The base of all errors: a message made of facts, which are attributes, too."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Self


class SessionsError(Exception):
    """Base of all errors of this package. `facts` holds what the message was made of. Each fact is an attribute, too."""

    refusal: ClassVar[str] = ""
    """The word with which a script refuses for this reason: the name of the class in capitals. '' if no script does."""
    reply: ClassVar[tuple[str, ...]] = ()
    """The names of the facts behind that word."""
    template: ClassVar[str] = "{detail}"

    def __init_subclass__(cls) -> None:
        if "reply" in vars(cls):
            cls.refusal = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()

    def __init__(self, **facts: Any) -> None:
        self.facts = facts
        self.__dict__.update(facts)
        super().__init__(self.template.format(**facts))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.facts)

    @classmethod
    def from_reply(cls, session_id: str, words: list[str]) -> Self:
        """Return the error that a script's refusal stands for. `words` are those behind the refusal."""
        facts = dict(zip(cls.reply, words, strict=False))
        numbers = {name for name, kind in cls.__annotations__.items() if kind == "int"}
        return cls(
            session_id=session_id, **{name: int(word) if name in numbers else word for name, word in facts.items()}
        )


def _rebuild(cls: type[SessionsError], facts: dict[str, Any]) -> SessionsError:
    return cls(**facts)


class InvalidInput(SessionsError, ValueError):
    """An argument is not valid. Nothing was written."""

    reply = ("name", "detail")
    template = "{name}: {detail}"
    name: str
    detail: str

    @classmethod
    def from_reply(cls, session_id: str, words: list[str]) -> Self:
        """Return the error of an argument that a script refused: its name, then the reason."""
        return cls(name=words[0], detail=" ".join(words[1:]))


class InvalidState(InvalidInput):
    """A stored value is damaged, or does not have the type that was asked for."""
