"""Realistic conversations in each format: steps that append messages, and operations of the library between them.

A conversation is made from a seed, so a failure can be repeated. `shrink` removes the steps that a failure does not need.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .writer import Call, Entry, Writer
from .writers_blocks import Anthropic, Bedrock, ClaudeCode, Gemini
from .writers_frameworks import AISDK, LangChain, PydanticAI
from .writers_openai import OpenAIChat, OpenAIResponses

WRITERS: dict[str, type[Writer]] = {
    writer.name: writer
    for writer in (
        OpenAIChat, OpenAIResponses, Anthropic, Gemini, Bedrock, LangChain, PydanticAI, AISDK, ClaudeCode,
    )
}  # fmt: skip
MIXED = 0.95
OPERATIONS = {
    "pin": 3, "compact": 2, "pop": 2, "pop_group": 2, "replace": 2, "redact": 2, "fork": 2, "spawn_fork": 1, "child": 2,
    "abandon": 1, "reimport": 1,
}  # fmt: skip
"""The operations between appends, each with its weight."""


class Step(NamedTuple):
    """One append, or one operation of the library."""

    name: str
    entries: tuple[Entry, ...] = ()
    """The messages of an append or a replacement."""
    place: float = 0.0
    """The place in the retained history that the operation takes, from 0 (oldest) to 1 (newest)."""

    def __repr__(self) -> str:
        payloads = "".join(f"\n    {entry.payload}" for entry in self.entries)
        return f"{self.name}{f'({self.place:.2f})' if not self.entries or self.place else ''}{payloads}"


class Conversation(NamedTuple):
    """A conversation in one format."""

    writer: Writer
    steps: list[Step]


def conversation(format: str, seed: int, length: int = 30, operations: float = 0.2) -> Conversation:
    """Return a conversation.

    Args:
        format: the name of a format.
        seed: the same seed gives the same conversation.
        length: the number of steps.
        operations: the share of operations between the appends, 0 to 1.
    """
    rng = random.Random(f"{format} {seed}")
    writer = WRITERS[format](rng)
    talk = _Talk(rng, writer)
    steps = [Step("append", (writer.user(),))]
    while len(steps) < length:
        if rng.random() < operations:
            steps.append(talk.operation())
        else:
            steps += talk.appends()
    return Conversation(writer, steps[:length])


class _Talk:
    def __init__(self, rng: random.Random, writer: Writer) -> None:
        self.rng, self.writer = rng, writer
        self.open: list[Call] = []
        self.forgotten: list[Call] = []
        self.used: list[str] = []
        self.message_of: dict[Call, int] = {}
        self.is_tool_heavy = rng.random() < 0.4

    def operation(self) -> Step:
        name = self.rng.choices(list(OPERATIONS), list(OPERATIONS.values()))[0]
        place = self.rng.random()
        if name == "replace":
            place = 1 - place**2 / 2
            return Step(name, tuple(self._message()), place)
        return Step(name, (), place)

    def appends(self) -> list[Step]:
        """Return the appends of one event, mostly one."""
        entries = self._message()
        if len(entries) < 3 and self.rng.random() < 0.2:
            entries += self._message()
        if len(entries) > 1 and self.rng.random() < 0.4:
            return [Step("append", (entry,)) for entry in entries]
        return [Step("append", tuple(entries))]

    def _message(self) -> list[Entry]:
        options: dict[Callable[[], list[Entry]], float]
        if self.open:
            options = {self._result: 60, self._user: 8, self.writer.answer: 4, self._calls: 6, self._forget: 6}
        else:
            options = {self._user: 25, self.writer.answer: 25, self._calls: 80 if self.is_tool_heavy else 35}
        options |= {self._late_result: 4 if self.forgotten else 0, self._stray_result: 1, self._system: 1}
        return self.rng.choices(list(options), list(options.values()))[0]()

    def _user(self) -> list[Entry]:
        return [self.writer.user()]

    def _system(self) -> list[Entry]:
        return [self.writer.system()] if self.writer.has_system else [self.writer.user()]

    def _calls(self) -> list[Entry]:
        count = self.rng.choice((1, 1, 1, 2, 2, 3, 5))
        calls = self.writer.new_calls(count, self.used, [call.id for call in self.open + self.forgotten])
        if not calls:
            return [self.writer.user()]
        self.open += calls
        self.message_of |= dict.fromkeys(calls, len(self.used))
        self.used += [call.id for call in calls]
        return self.writer.calling(calls)

    def _result(self) -> list[Entry]:
        open_calls = self.open
        if self.rng.random() < MIXED:
            message = self.message_of[self.rng.choice(self.open)]
            open_calls = [call for call in self.open if self.message_of[call] == message]
        count = len(open_calls) if self.rng.random() < 0.5 else self.rng.randint(1, len(open_calls))
        chosen = self.rng.sample(open_calls, count)
        if self.rng.random() < 0.5:
            chosen.sort(key=self.open.index)
        self.open = [call for call in self.open if call not in chosen]
        return self.writer.answering(chosen, self.rng.random() < 0.6)

    def _forget(self) -> list[Entry]:
        """Let the worker of some open calls die. The conversation goes on."""
        count = self.rng.randint(1, len(self.open))
        self.forgotten += self.open[-count:]
        self.open = self.open[:-count]
        return [self.writer.user()]

    def _late_result(self) -> list[Entry]:
        call = self.forgotten.pop(self.rng.randrange(len(self.forgotten)))
        return self.writer.answering([call], False)

    def _stray_result(self) -> list[Entry]:
        return self.writer.answering([Call("never_made", "never_made", "")], False)


def shrink(steps: Sequence[Step], fails: Callable[[list[Step]], bool]) -> list[Step]:
    """Return steps that still fail, without the steps and messages that the failure does not need. The first step stays."""
    left, before = list(steps), 0
    while before != _size(left):
        before = _size(left)
        for size in (8, 4, 2, 1):
            for at in reversed(range(1, len(left), size)):
                shorter = left[:at] + left[at + size :]
                if shorter and fails(shorter):
                    left = shorter
        for at, step in enumerate(left):
            for entry in step.entries:
                fewer = tuple(one for one in left[at].entries if one is not entry)
                shorter = [*left[:at], left[at]._replace(entries=fewer), *left[at + 1 :]]
                if fewer and fails(shorter):
                    left = shorter
    return left


def _size(steps: Sequence[Step]) -> int:
    return sum(1 + len(step.entries) for step in steps)
