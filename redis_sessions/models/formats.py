"""The protocol between the core and the message formats of vendors, and the registry of formats.

The core knows formats by `MessageFormat` only. The package `formats` has one module for each vendor and registers them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from ..errors import InvalidInput

Payload = dict[str, Any]
MAX_CALLS_PER_MESSAGE = 256
"""The most calls that one message may open, and the most that it may close."""


class Facts(NamedTuple):
    """The facts of one payload that the rules for groups, turns and windows need."""

    kind: str
    """The type of the message, such as user_message, assistant_message, tool_message, tool_call, reasoning, system_message."""
    opens: tuple[str, ...] = ()
    """The IDs of the tool calls that the payload makes and that need a result in a later message."""
    closes: tuple[str, ...] = ()
    """The IDs of the tool calls whose results the payload holds."""
    binds_next: bool = False
    """True if the vendor refuses the payload without the item that follows it, such as a reasoning item."""
    tools: tuple[tuple[str, str], ...] = ()
    """Pairs of an ID of `opens` or `closes` and the name of its tool, for a vendor whose calls or results can lack the ID.

    The second call of a tool in one payload has the name '<name>/2'. A result whose ID is its name answers the oldest open call
    of this tool. Another result answers a call without a pair by the name, if no open call has the ID."""


class MessageFormat(ABC):
    """The message format of one vendor or framework. Subclass it and give an instance to `register_format` to add one's own.

    Every method is pure: it never changes its arguments. A payload that a method returns may share parts with the one it got.
    """

    name: str = ""
    """The name of the format: letters, digits, '_' and '-', for example 'anthropic'."""
    starts_with_user: bool = False
    """True if the vendor refuses a transcript that begins with another message than a user message."""
    has_system_messages: bool = True
    """False if the vendor takes the system prompt as a parameter of its own, not as a message."""
    goes_on_anywhere: bool = False
    """True if messages of later turns may stand behind a call with which the vendor goes on."""

    @abstractmethod
    def facts(self, payload: Payload) -> Facts | None:
        """Return the facts of a payload, or None if the payload is not of this format."""

    @abstractmethod
    def text(self, payload: Payload) -> str:
        """Return the text that a person reads: without calls, results, reasoning, images. '' if there is none."""

    @abstractmethod
    def user_message(self, text: str) -> Payload:
        """Return a user message with a text."""

    def system_message(self, text: str) -> Payload:
        """Return a system message with a text. Called only if `has_system_messages`."""
        return {"role": "system", "content": text}

    def split_system_prompt(self, payload: Payload) -> tuple[str, Payload] | None:
        """Return the system prompt with which a user message begins, and the message without it. None if it has none."""
        return None

    @abstractmethod
    def call_result(self, call_id: str, tool_name: str, text: str) -> Payload:
        """Return a message with the result of one call."""

    def answer(self, payload: Payload, call_id: str, text: str) -> Payload | None:
        """Return a message with a synthetic result of one call that a payload makes. None if only the vendor can answer it."""
        return self.call_result(call_id, "", text)

    def part_of(self, payload: Payload) -> str:
        """Return the ID of the model's message of which the payload is a part. '' if the payload is a whole message.

        A window has the parts of one message together, and the results of their calls behind them.
        """
        return ""

    def programs(self, payload: Payload) -> tuple[str, ...]:
        """Return the IDs of the calls that run the programs by which parts of a payload were made.

        A window has such a part together with its program, and not without the program. Then `keep` takes the part out.
        """
        return ()

    def is_going_on(self, payload: Payload, call_id: str, behind: Sequence[Payload]) -> bool:
        """Return whether the vendor goes on with a call that has no result yet.

        Asked for the calls at the end of a transcript, and for all calls if `goes_on_anywhere`.

        Args:
            payload: the payload that makes the call.
            call_id: an ID of `Facts.opens`.
            behind: the payloads behind it, such as the results of its other calls.
        """
        return False

    @abstractmethod
    def keep(
        self, payload: Payload, keeps_call: Callable[[str], bool], keeps_result: Callable[[str], bool]
    ) -> Payload | None:
        """Return the payload without the calls and results that are not kept. None if nothing is left that a vendor accepts.

        Args:
            payload: a payload for which `facts` returned facts.
            keeps_call: answers for each ID of `Facts.opens` and of `programs`.
            keeps_result: answers for each ID of `Facts.closes`.

        Returns:
            The same object if everything is kept.
        """

    def join(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return the payloads of a window as the vendor accepts them, for example with neighbours of one role merged.

        The payloads are valid but for that. Payloads of other formats may stand among them and are left as they are.
        """
        return list(payloads)


_formats: list[MessageFormat] = []
_own_formats: list[MessageFormat] = []
_by_name: dict[str, MessageFormat] = {}
"""All formats, in the order of their names."""
_format_of_shape: dict[Hashable, MessageFormat] = {}
"""The format that was found for each shape of payload, so that it is asked first."""
_MAX_SHAPES = 1000


def register_format(format: MessageFormat) -> None:
    """Add a message format. Formats of one's own are asked before the built-in ones, the newest first.

    Register the format in every process that writes or reads its messages, before the first call.

    Args:
        format: an instance of a subclass of MessageFormat. A format with the same name is replaced.

    Raises:
        InvalidInput: the name is empty or has other characters than letters, digits, '_' and '-'.
    """
    _own_formats[:] = [_checked(format), *(one for one in _own_formats if one.name != format.name)]
    _name_formats()


def register_built_in(*formats: MessageFormat) -> None:
    """Set the formats of the package, in the order in which they are asked."""
    _formats[:] = [_checked(one) for one in formats]
    _name_formats()
    _format_of_shape.clear()


def _name_formats() -> None:
    global _by_name
    found = {one.name: one for one in [*_formats, *reversed(_own_formats)]}
    _by_name = dict(sorted(found.items()))


def _checked(format: MessageFormat) -> MessageFormat:
    name = format.name
    if not name or not name.replace("-", "a").replace("_", "a").isalnum() or not name.isascii() or len(name) > 32:
        raise InvalidInput(name="format", detail=f"name must be 1 to 32 letters, digits, '_' or '-', got {name!r}")
    return format


def format_names() -> list[str]:
    """Return the names of all formats."""
    return [*_by_name]


def all_formats() -> tuple[MessageFormat, ...]:
    """Return all formats, in the order of their names."""
    return tuple(_by_name.values())


def format_named(name: str) -> MessageFormat:
    """Return a format by its name. Raises InvalidInput."""
    found = _by_name.get(name) if isinstance(name, str) else None
    if found is None:
        raise InvalidInput(name="format", detail=f"must be one of {', '.join(format_names())}, got {name!r}")
    return found


def recognise(payload: Payload) -> tuple[MessageFormat | None, Facts | None]:
    """Return the format and the facts of a payload.

    The format is None for a message that many vendors share: a role and text. The format and the facts are None if no format
    knows the payload.
    """
    if not _own_formats and len(payload) == 2 and "role" in payload and type(payload.get("content")) is str:
        facts = _formats[-1].facts(payload)  # the plain format, which takes what the others leave
        if facts is not None:
            return None, facts
    shape = _shape(payload)
    known = _format_of_shape.get(shape) if shape is not None else None
    if known is not None:
        facts = known.facts(payload)
        if facts is not None:
            return known, facts
    for one in [*_own_formats, *_formats]:
        facts = one.facts(payload)
        if facts is not None:
            if one.name == "plain":
                return None, facts
            if shape is not None and len(_format_of_shape) < _MAX_SHAPES:
                _format_of_shape[shape] = one
            return one, facts
    return None, None


def _shape(payload: Payload) -> Hashable | None:
    """Return the keys and the role of a payload whose content is not nested: they decide its format. None for others."""
    content = payload.get("content")
    if _own_formats or "parts" in payload or not (content is None or type(content) is str):
        return None
    role, kind = payload.get("role"), payload.get("type")
    return (*payload, role if type(role) is str else None, kind if type(kind) is str else None)


def format_of(payload: Payload) -> MessageFormat:
    """Return the format that can edit a payload: its own, or the plain one."""
    format, _ = recognise(payload)
    return format or format_named("plain")
