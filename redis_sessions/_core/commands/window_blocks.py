"""Arrange messages in the blocks that a window is made of: a message, or a call with its results and its reasoning items."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ...models.formats import format_of, recognise
from ...models.messages import Message
from ..protocol.codec import call_hash

SystemMessages = Literal["omit", "keep"]
AbandonedCalls = Literal["omit", "answer"]
NO_RESULT = "[no result: the call was abandoned]"
"""The text of a synthetic result."""
_FACT = re.compile(r"([-+!?])([0-9a-f]{8})")
_NOT_FOR_MODELS = "vex"
"""Kinds of messages that no model call gets: events, evaluations, and payloads of no known format."""
_ENTRIES = "ck"
"""Kinds of items of a vendor, and of the entries that this library makes about a tool or a skill."""


@dataclass(slots=True)
class Entry:
    """A message in a block, and its calls and results by their hashes."""

    message: Message
    opens: set[str]
    closes: set[str]


@dataclass(slots=True, eq=False)
class Block:
    """Messages that a window contains together."""

    begins_at: int = 0
    """The seq of the first message, also if nothing of the message is left."""
    entries: list[Entry] = field(default_factory=list)
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
        self.blocks: list[Block] = []
        self.missing: list[int] = []
        """Seqs of messages with a result whose call is not among the messages."""
        self._open: dict[str, Block] = {}
        self._bound: Block | None = None
        self._latest: Block | None = None
        """The block of the latest item that a model made apart from its text."""
        self._parts: dict[str, Block] = {}
        """The blocks of messages that a vendor keeps in several parts, by the IDs of these messages."""
        for message in messages:
            if _is_for_models(message) and (system == "keep" or message.kind != "s"):
                self._add(message)
        for block in self.blocks:
            _finish(block, abandoned, is_last=block is self.blocks[-1])
        self.blocks = sorted((block for block in self.blocks if block.entries), key=lambda block: block.first_seq)

    def _add(self, message: Message) -> None:
        facts = _FACT.findall(message.facts)
        results = [(sign, hash) for sign, hash in facts if sign in "-?"]
        closes = {hash for sign, hash in results if sign == "-" and hash in self._open}
        entry = Entry(message, {hash for sign, hash in facts if sign in "+!"}, closes)
        if any(sign == "-" and hash not in closes for sign, hash in results):
            self.missing.append(message.seq)
        bound = None
        if message.kind not in "us":
            bound, self._bound = self._bound, None
        lacks_calls = len(closes) < len(results)
        is_split = len({id(self._open[hash]) for hash in closes}) > 1
        hashes = _result_hashes(message) if lacks_calls or is_split else {}
        if lacks_calls and not self._without_results(entry, hashes):
            return
        if is_split:
            self._split(entry, hashes)
        else:
            self._put(entry, self._block_of(entry, bound))

    def _put(self, entry: Entry, block: Block | None) -> None:
        """Put a message into its block, or into a new one. Close the calls that it answers, and open those that it makes."""
        message = entry.message
        if block is None:
            block = Block(message.seq)
            self.blocks.append(block)
        whole = vendor_message_id(message)
        if whole:  # a part may come behind results of earlier parts
            block.entries.insert(_end_of_calls(block), entry)
            self._parts[whole] = block
        else:
            block.entries.append(entry)
        for hash in entry.closes:
            self._open.pop(hash).waiting.discard(hash)
            block.has_results = True
        for hash in entry.opens:
            older = self._open.pop(hash, None)
            if older is not None:  # the same ID again: the older call has no result any more
                _forget(older, hash, entry)
            block.waiting.add(hash)
            self._open[hash] = block
        if message.kind in "acr":
            self._latest = None if message.kind == "a" else block
        if message.facts.endswith("~"):
            self._bound = block

    def _without_results(self, entry: Entry, hashes: Mapping[str, str]) -> bool:
        """Leave out the results without a call. Return whether something is left of the message."""
        payload = entry.message.payload
        kept = format_of(payload).keep(payload, lambda id: True, lambda id: hashes.get(id) in entry.closes)
        if kept is None:
            return False
        entry.message = entry.message.with_payload(kept)
        return True

    def _block_of(self, entry: Entry, bound: Block | None) -> Block | None:
        """Return the block that a message belongs to, or None if it begins a new one."""
        kind, message = entry.message.kind, entry.message
        if entry.closes:
            return self._open[next(iter(entry.closes))]
        if bound is not None and kind in "acr":
            return bound
        if self._parts and kind in "ar":
            block = self._parts.get(vendor_message_id(message))
            if block is not None:
                return block
        if self._open and kind in "ac":
            for id in format_of(message.payload).programs(message.payload):
                if call_hash(id) in self._open:
                    return self._open[call_hash(id)]
        if kind == "c" and entry.opens:  # parallel calls, each an item of its own
            last = self._latest
            if last is not None and last.waiting and not last.has_results and last.entries[-1].message.kind in "cr":
                return last
        if kind == "t" and not message.facts:  # a result that does not say of which call
            return self.blocks[-1] if self.blocks else Block()
        return None

    def _split(self, entry: Entry, hashes: Mapping[str, str]) -> None:
        """Put each result of a message with results for several blocks into its block."""
        left = set(entry.closes)
        while left:
            block = self._open[min(left, key=lambda hash: self._open[hash].first_seq)]
            here = {hash for hash in left if self._open[hash] is block}
            payload = entry.message.payload
            kept = format_of(payload).keep(payload, lambda id: False, _contains(here, hashes))
            if kept is not None:
                block.entries.append(Entry(entry.message.with_payload(kept), set(), here))
            for hash in here:
                del self._open[hash]
            block.waiting -= here
            block.has_results = True
            left -= here


def vendor_message_id(message: Message) -> str:
    """Return the ID of the message of a model of which a message is a part. '' if it is a whole one."""
    return format_of(message.payload).part_of(message.payload) if message.kind in "ar" else ""


def _end_of_calls(block: Block) -> int:
    """Return the index behind the last entry of the model in a block."""
    ends = [at for at, entry in enumerate(block.entries, 1) if entry.message.kind in "acr"]
    return ends[-1] if ends else len(block.entries)


def _is_for_models(message: Message) -> bool:
    """Return False for events, unknown payloads, and the library's entries about tools and skills, which no API takes."""
    is_entry = message.kind in _ENTRIES and recognise(message.payload)[0] is None
    return message.kind not in _NOT_FOR_MODELS and not is_entry


def _contains(wanted: set[str], hashes: Mapping[str, str]) -> Callable[[str], bool]:
    return lambda id: hashes.get(id) in wanted


def _result_hashes(message: Message) -> dict[str, str]:
    """Return the stored hash of each result but late ones, of a message as it is stored.

    For a result without an ID, a later call may have this hash.
    """
    facts = format_of(message.payload).facts(message.payload)
    stored = [(sign, hash) for sign, hash in _FACT.findall(message.facts) if sign in "-?"]
    pairs = zip(facts.closes if facts else (), stored, strict=False)
    return {id: hash for id, (sign, hash) in pairs if sign == "-"}


def _forget(block: Block, hash: str, later: Entry) -> None:
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


def _finish(block: Block, abandoned: AbandonedCalls, *, is_last: bool) -> None:
    """Leave out or answer the calls of a block that have no result, and the reasoning items that nothing follows.

    A call with which the vendor goes on stays, for most vendors only at the end of the window.
    """
    if block.waiting:
        block.waiting -= _going_on(block, is_last)
    if block.waiting and abandoned == "answer":
        block.waiting = _answer(block)
    if block.waiting:
        gone = set(block.waiting)
        block.entries = [entry for entry in block.entries if _stays(entry, gone)]
    entries = block.entries
    while entries and entries[-1].message.facts.endswith("~"):
        entries.pop()


def _stays(entry: Entry, gone: set[str]) -> bool:
    """Take out of an entry the calls that are gone, their results, and what their programs made. Return whether anything is left.

    Calls that leave with their program are added to `gone`.
    """
    payload = entry.message.payload
    format = format_of(payload)
    if gone.isdisjoint({*entry.opens, *entry.closes, *map(call_hash, format.programs(payload))}):
        return True
    results = _result_hashes(entry.message) if entry.closes & gone else {}
    left = format.keep(
        payload, lambda id: call_hash(id) not in gone, lambda id: results.get(id, call_hash(id)) not in gone
    )
    facts = None if left is None else format.facts(left)
    gone |= entry.opens - set(map(call_hash, facts.opens if facts else ()))
    if left is None:
        return False
    entry.message = entry.message.with_payload(left)
    return True


def _going_on(block: Block, is_last: bool) -> set[str]:
    """Return the hashes of the calls without a result with which the vendor goes on."""
    found = set()
    payloads = [entry.message.payload for entry in block.entries]
    for at, entry in enumerate(block.entries):
        format = format_of(payloads[at])
        is_asked = bool(entry.opens & block.waiting) and (is_last or format.goes_on_anywhere)
        facts = format.facts(payloads[at]) if is_asked else None
        for id in facts.opens if facts else ():
            hash = call_hash(id)
            if hash in block.waiting and f"+{hash}" in entry.message.facts:  # not abandoned
                found |= {hash} if format.is_going_on(payloads[at], id, payloads[at + 1 :]) else set()
    return found


def _answer(block: Block) -> set[str]:
    """Put a synthetic result behind each message with unanswered calls, and behind the results of the message that are there.

    A message of the vendor in several parts is one message. Return the hashes of the calls that only the vendor can answer.
    """
    answered: list[Entry] = []
    results: list[Entry] = []
    calls, left, before = set[str](), set(), ""
    for entry in block.entries:
        is_of_model = entry.message.kind in "acr"
        whole = vendor_message_id(entry.message)
        if is_of_model and whole and whole == before:
            calls = calls | entry.opens
        elif is_of_model or not entry.closes or not entry.closes <= calls:
            answered += results
            calls, results = entry.opens, []
        before = whole if is_of_model else before
        answered.append(entry)
        if not entry.opens & block.waiting:
            continue
        format = format_of(entry.message.payload)
        facts = format.facts(entry.message.payload)
        for id in facts.opens if facts else ():
            if call_hash(id) in block.waiting:
                result = format.answer(entry.message.payload, id, NO_RESULT)
                if result is None:
                    left.add(call_hash(id))
                    continue
                message = Message("tool", payload=result)
                message.seq = entry.message.seq
                results.append(Entry(message, set(), {call_hash(id)}))
    block.entries = answered + results
    return left
