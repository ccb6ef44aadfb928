"""Make the window for a model call from retained messages: valid for the vendor, within a budget of tokens. Needs no server.

A window is a list of whole blocks, so it may begin and end with any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from ...models.formats import MessageFormat, format_of
from ...models.messages import Message
from ...models.windows import Window
from .window_blocks import Arrangement, Block, Entry, vendor_message_id

Start = Literal["any", "user"]


class Selection:
    """The newest blocks that fit a budget, and the newest block in any case."""

    def __init__(
        self, arrangement: Arrangement, budget: int, prompt_tokens: int, count: Callable[[Message], int]
    ) -> None:
        self.tokens = prompt_tokens
        self.blocks: list[Block] = []
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
        if oldest_read is not None and oldest_read.seq >= self._oldest and _continues(oldest_read):
            return False
        if older is None or self._first_user() is not None:
            return True
        return any(one.kind == "u" and not one.has_results and one.seq < self._oldest for one in older)

    def _tokens(self, block: Block) -> int:
        return sum(self._count(entry.message) for entry in block.entries)

    def _first_user(self) -> int | None:
        """Return the index of the first block with which a window may begin, if no required block comes before it."""
        candidates = self.blocks[: len(self.blocks) - self._required + 1]
        return next((at for at, block in enumerate(candidates) if block.begins_with_user), None)

    def begin_with_user(self, older: Iterable[Message]) -> None:
        """Drop blocks until the window begins with a user message. Without one, put an older user message first, or a later one.

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
            for text in _user_texts(dropped):
                place = next(at for at, block in enumerate([*self.blocks, text]) if block.begins_at >= text.begins_at)
                self.blocks.insert(place, text)
                self.tokens += self._tokens(text)
            return
        task = _task(older, self._oldest)
        own = next((block for block in self.blocks if block.begins_with_user), None)
        if task is None and own is not None:  # it came while the first call of the transcript was open
            self.blocks = [own, *(block for block in self.blocks if block is not own)]
            return
        if task is None:
            self.truncated = self.truncated or bool(self.blocks)
            self.blocks, self.tokens = [], self.tokens - sum(map(self._tokens, self.blocks))
            return
        block = Block(task.seq, [Entry(task, set(), set())])
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


def _continues(message: Message) -> bool:
    """Return whether older messages may belong to a message: it continues a group, or a message of the vendor."""
    return message.continues_group or vendor_message_id(message) != ""


def _user_texts(dropped: Iterable[Block]) -> Iterator[Block]:
    """Yield what the user said next to the results of calls that are left out."""
    for block in dropped:
        for entry in block.entries:
            payload = entry.message.payload
            text = None
            if entry.message.kind == "u":
                text = format_of(payload).keep(payload, lambda id: False, lambda id: False)
            if text is not None:
                yield Block(entry.message.seq, [Entry(entry.message.with_payload(text), set(), set())])


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
