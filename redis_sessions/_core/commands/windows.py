"""Make the window for a model call from retained messages: valid for the vendor, within a budget of tokens. Needs no server.

Blocks are what a window is made of: a message, or a call with its results, with the reasoning items that it needs. A window is a
list of whole blocks, so it may begin and end with any of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from ...models.formats import MessageFormat, format_of
from ...models.messages import Message
from ...models.windows import Window
from ..protocol.codec import call_hash

Start = Literal["any", "user"]
SystemMessages = Literal["omit", "keep"]
AbandonedCalls = Literal["omit", "answer"]
NO_RESULT = "[no result: the call was abandoned]"
"""The text of a synthetic result."""
_FACT = re.compile(r"([-+!?])([0-9a-f]{8})")
_NOT_FOR_MODELS = "vex"
"""Kinds of messages that no model call gets: events, evaluations, and payloads of no known format."""


@dataclass(slots=True)
class _Entry:
    """A message in a block, and its calls and results by their hashes."""

    message: Message
    opens: set[str]
    closes: set[str]


@dataclass(slots=True, eq=False)
class _Block:
    """Messages that a window contains together."""

    begins_at: int = 0
    """The seq of the first message, also if nothing of the message is left."""
    entries: list[_Entry] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)
    """Calls without a result."""
    has_results: bool = False

    @property
    def first_seq(self) -> int:
        return self.entries[0].message.seq

    @property
    def is_system(self) -> bool:
        return self.entries[0].message.kind == "s"

    @property
    def begins_with_user(self) -> bool:
        return self.entries[0].message.kind == "u" and not self.entries[0].closes


class Arrangement:
    """The blocks of some messages, oldest first: results behind their calls, what came between behind the results."""

    def __init__(
        self, messages: Iterable[Message], *, system: SystemMessages = "omit", abandoned: AbandonedCalls = "omit"
    ) -> None:
        self.blocks: list[_Block] = []
        self.missing: list[int] = []
        """Seqs of messages with a result whose call is not among the messages."""
        self._open: dict[str, _Block] = {}
        self._bound: _Block | None = None
        self._latest: _Block | None = None
        """The block of the latest item that a model made apart from its text."""
        for message in messages:
            if message.kind not in _NOT_FOR_MODELS and (system == "keep" or message.kind != "s"):
                self._add(message)
        for block in self.blocks:
            _finish(block, abandoned)
        self.blocks = [block for block in self.blocks if block.entries]

    def _add(self, message: Message) -> None:
        facts = _FACT.findall(message.facts)
        closes = {hash for sign, hash in facts if sign == "-" and hash in self._open}
        opens = {hash for sign, hash in facts if sign in "+!"}
        if any(sign == "-" and hash not in closes for sign, hash in facts):
            self.missing.append(message.seq)
        has_lost_results = any(sign in "-?" for sign, _ in facts) and len(closes) < sum(s in "-?" for s, _ in facts)
        entry = _Entry(message, opens, closes)
        if message.kind not in "us":
            bound, self._bound = self._bound, None
        else:
            bound = None
        if has_lost_results and not self._without_results(entry):
            return
        if len({id(self._open[hash]) for hash in closes}) > 1:
            self._split(entry)
            return
        block = self._home(entry, bound)
        if block is None:
            block = _Block(message.seq)
            self.blocks.append(block)
        block.entries.append(entry)
        for hash in closes:
            self._open.pop(hash).waiting.discard(hash)
            block.has_results = True
        for hash in opens:
            older = self._open.pop(hash, None)
            if older is not None:  # the same ID again: the older call has no result any more
                _forget(older, hash, entry)
            block.waiting.add(hash)
            self._open[hash] = block
        if message.kind in "cr":
            self._latest = block
        if message.facts.endswith("~"):
            self._bound = block

    def _without_results(self, entry: _Entry) -> bool:
        """Leave out the results without a call. Return whether something is left of the message."""
        payload = entry.message.payload
        kept = format_of(payload).keep(payload, lambda id: True, lambda id: call_hash(id) in entry.closes)
        if kept is None:
            return False
        entry.message = entry.message.with_payload(kept)
        return True

    def _home(self, entry: _Entry, bound: _Block | None) -> _Block | None:
        """Return the block that a message belongs to, or None if it begins a new one."""
        kind, message = entry.message.kind, entry.message
        if entry.closes:
            return self._open[next(iter(entry.closes))]
        if bound is not None and kind in "acr":
            return bound
        if kind == "c" and entry.opens:  # parallel calls, each an item of its own
            last = self._latest
            if last is not None and last.waiting and not last.has_results and last.entries[-1].message.kind in "cr":
                return last
        if kind == "t" and not message.facts:  # a result that does not say of which call
            return self.blocks[-1] if self.blocks else _Block()
        return None

    def _split(self, entry: _Entry) -> None:
        """Put each result of a message with results for several blocks into its block."""
        left = set(entry.closes)
        while left:
            block = self._open[min(left, key=lambda hash: self._open[hash].first_seq)]
            here = {hash for hash in left if self._open[hash] is block}
            payload = entry.message.payload
            kept = format_of(payload).keep(payload, lambda id: False, _contains(here))
            if kept is not None:
                block.entries.append(_Entry(entry.message.with_payload(kept), set(), here))
            for hash in here:
                del self._open[hash]
            block.waiting -= here
            block.has_results = True
            left -= here


def _contains(hashes: set[str]) -> Callable[[str], bool]:
    return lambda id: call_hash(id) in hashes


def _forget(block: _Block, hash: str, later: _Entry) -> None:
    """Take a call out of the entries of a block, because a later call has the same ID."""
    block.waiting.discard(hash)
    for entry in block.entries:
        if entry is not later and hash in entry.opens:
            payload = entry.message.payload
            kept = format_of(payload).keep(payload, lambda id: call_hash(id) != hash, lambda id: True)
            entry.opens.discard(hash)
            if kept is None:
                block.entries.remove(entry)
            else:
                entry.message = entry.message.with_payload(kept)
            return


def _finish(block: _Block, abandoned: AbandonedCalls) -> None:
    """Leave out or answer the calls of a block that have no result, and the reasoning items that nothing follows."""
    if block.waiting and abandoned == "answer":
        _answer(block)
    elif block.waiting:
        kept = []
        for entry in block.entries:
            if entry.opens & block.waiting:
                payload = entry.message.payload
                left = format_of(payload).keep(payload, lambda id: call_hash(id) not in block.waiting, lambda id: True)
                if left is None:
                    continue
                entry.message = entry.message.with_payload(left)
            kept.append(entry)
        block.entries = kept
    entries = block.entries
    while entries and entries[-1].message.facts.endswith("~"):
        entries.pop()


def _answer(block: _Block) -> None:
    """Put a synthetic result behind each message with unanswered calls, and behind the results that are there."""
    answered = [*block.entries]
    for entry in block.entries:
        if not entry.opens & block.waiting:
            continue
        format = format_of(entry.message.payload)
        facts = format.facts(entry.message.payload)
        for id in facts.opens if facts else ():
            if call_hash(id) in block.waiting:
                message = Message("tool", payload=format.answer(entry.message.payload, id, NO_RESULT))
                message.seq = entry.message.seq
                answered.append(_Entry(message, set(), {call_hash(id)}))
    block.entries = answered


class Selection:
    """The newest blocks that fit a budget, and the newest block in any case."""

    def __init__(
        self, arrangement: Arrangement, budget: int, prompt_tokens: int, count: Callable[[Message], int]
    ) -> None:
        self.tokens = prompt_tokens
        self.blocks: list[_Block] = []
        self._count = count
        self._budget = budget
        self.tokens_read = prompt_tokens + sum(self._tokens(block) for block in arrangement.blocks)
        """The tokens of all messages that were read, as far as a window can contain them."""
        newest = max((entry.message.seq for block in arrangement.blocks for entry in block.entries), default=0)
        has_newest = [any(one.message.seq == newest for one in block.entries) for block in arrangement.blocks]
        self._required = len(has_newest) - has_newest.index(True) if has_newest else 0
        for block in reversed(arrangement.blocks):
            tokens = self._tokens(block)
            if len(self.blocks) >= self._required and self.tokens + tokens > budget:
                break
            self.blocks.insert(0, block)
            self.tokens += tokens
        self.truncated = len(self.blocks) < len(arrangement.blocks)
        self._oldest = self.blocks[0].begins_at if self.blocks else 0
        self._missing = any(seq >= self._oldest for seq in arrangement.missing)

    def is_complete(self, oldest_read: Message | None, older: Iterable[Message] | None) -> bool:
        """Return whether nothing older is needed: the call of a result, the rest of a group, a user message to begin with.

        Args:
            older: the messages that were read, if the window must begin with a user message. Else None.
        """
        if self._missing or self.tokens_read <= self._budget or not self.blocks:
            return False
        if oldest_read is not None and oldest_read.continues_group and oldest_read.seq >= self._oldest:
            return False
        if older is None or self._first_user() is not None:
            return True
        return any(one.kind == "u" and not one.has_results and one.seq < self._oldest for one in older)

    def _tokens(self, block: _Block) -> int:
        return sum(self._count(entry.message) for entry in block.entries)

    def _first_user(self) -> int | None:
        """Return the index of the first block with which a window may begin, if no required block comes before it."""
        candidates = self.blocks[: len(self.blocks) - self._required + 1]
        return next((at for at, block in enumerate(candidates) if block.begins_with_user), None)

    def begin_with_user(self, older: Iterable[Message]) -> None:
        """Drop blocks until the window begins with a user message. Without one, put an older user message first.

        Without any user message nothing is left, because the vendor refuses a window without one.

        Args:
            older: messages from the newest on, among them the user message that may come first.
        """
        at = self._first_user()
        if at is not None:
            dropped = [block for block in self.blocks[:at] if not block.is_system]
            self.tokens -= sum(map(self._tokens, dropped))
            self.truncated = self.truncated or bool(dropped)
            self.blocks = [block for block in self.blocks if block not in dropped]
            return
        task = _task(older, self._oldest)
        if task is None:
            self.truncated = self.truncated or bool(self.blocks)
            self.blocks, self.tokens = [], self.tokens - sum(map(self._tokens, self.blocks))
            return
        block = _Block(task.seq, [_Entry(task, set(), set())])
        self.tokens += self._tokens(block)
        while len(self.blocks) > self._required and self.tokens > self._budget:
            self.tokens -= self._tokens(self.blocks.pop(0))
            self.truncated = True
        self.blocks.insert(0, block)

    def window(self, format: MessageFormat, system: str | None) -> Window:
        """Return the window, with the system prompt first.

        A vendor without system messages gets those of the transcript as part of the system prompt.
        """
        messages = [entry.message for block in self.blocks for entry in block.entries]
        if not format.has_system_messages:
            texts = [message.text for message in messages if message.kind == "s"]
            system = "\n\n".join([*([] if system is None else [system]), *texts]) or None
            messages = [message for message in messages if message.kind != "s"]
        prompt = [] if system is None else [Message("system", system)]
        return Window(
            [*prompt, *messages], format=format, system=system, tokens=self.tokens, truncated=self.truncated,
            over_budget=self.tokens > self._budget,
        )  # fmt: skip


def _task(older: Iterable[Message], before: int) -> Message | None:
    """Return the newest user message before a seq: one without results if there is one, else the text of one with results."""
    mixed: Message | None = None
    for message in older:
        if message.kind != "u" or message.seq >= before:
            continue
        if "-" not in message.facts and "?" not in message.facts:
            return message
        if mixed is None:
            payload = message.payload
            kept = format_of(payload).keep(payload, lambda id: True, lambda id: False)
            mixed = None if kept is None else message.with_payload(kept)
    return mixed


def without_tools(message: Message) -> Message | None:
    """Return a message without calls and results: itself, a copy with its text, or None."""
    if not message.facts:
        return message
    kept = format_of(message.payload).keep(message.payload, lambda id: False, lambda id: False)
    return None if kept is None or message.facts.endswith("~") else message.with_payload(kept)
