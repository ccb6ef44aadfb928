"""A small model of one transcript, written from the guides: what must be stored after appends, the cap, pins and edits.

It keeps whole messages in lists and looks at all of them, so it is slow and short. Nothing in it is taken from the scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

Payload = dict[str, Any]


class Refused(Exception):
    """The model refuses an operation. The text is the name of the error, and the facts that it must have."""


@dataclass(eq=False)
class Call:
    """One tool call."""

    id: str
    seq: int
    state: str = "open"
    """open, answered, abandoned, or replaced by a later call with the same ID."""


@dataclass(eq=False)
class Stored:
    """One message as it must be stored."""

    seq: int
    kind: str
    """u, a, t or s."""
    payload: Payload
    tokens: int
    pinned: bool = False
    calls: list[Call] = field(default_factory=list)
    result_of: str = ""
    """The ID of the call whose result it is."""
    answers: Call | None = None
    """The call that it answers. None for a late result."""
    continues: bool = False
    """True if it continues the group of the message before it."""
    is_summary: bool = False

    @property
    def is_kept(self) -> bool:
        return self.pinned or self.is_summary

    @property
    def begins_turn(self) -> bool:
        return self.kind == "u" and not self.continues

    @property
    def facts(self) -> tuple[Any, ...]:
        """The facts that a reader of the history can see, without the text."""
        has_abandoned = any(call.state == "abandoned" for call in self.calls)
        is_late = bool(self.result_of) and self.answers is None
        return self.seq, self.kind, self.pinned, self.continues, has_abandoned, is_late, self.tokens


class Transcript:
    """The messages of one session, with the cap, the pins and the groups."""

    def __init__(self, cap: int, policy: str) -> None:
        self.cap, self.policy = cap, policy
        self.last_seq = self.task = self.user_seq = 0
        self.listed: list[Stored] = []
        self.aside: list[Stored] = []
        """Messages that the cap passed, but keeps: pinned ones, the summary, the task."""
        self.record: list[Stored] = []
        """All messages that counts are about: also what the cap dropped."""
        self.edited: set[int] = set()
        """The seqs that edits removed or replaced."""
        self.open: list[Call] = []
        self.pins_group = False
        """True if what continues the newest group is pinned with the group."""
        self.counts_exactly = True
        """False when an edit removed what the cap had dropped before, whose kind is not known any more."""

    def copy(self) -> Transcript:
        """Return a copy that shares nothing."""
        return deepcopy(self)

    @property
    def retained(self) -> list[Stored]:
        return self.aside + self.listed

    @property
    def pins(self) -> int:
        return sum(one.pinned for one in self.retained)

    @property
    def retains_open_calls(self) -> bool:
        """True if all open calls are in messages that are retained."""
        return all(any(call in one.calls for one in self.retained) for call in self.open)

    def counts(self) -> tuple[int, int, int]:
        """Return the numbers of user messages, assistant messages and completed turns."""
        users = sum(one.kind == "u" for one in self.record)
        turns, waits = 0, False
        for one in self.record:
            if one.kind == "u":
                waits = True
            elif one.kind == "a":
                turns, waits = turns + waits, False
        return users, sum(one.kind == "a" for one in self.record), turns

    def _starts(self) -> list[int]:
        return [at for at, one in enumerate(self.listed) if not one.continues]

    def _check_pins(self, more: int) -> None:
        if more > 0 and self.cap and self.pins + more > self.cap / 2:
            raise Refused("LimitExceeded pinned")

    # -- appends -------------------------------------------------------------------------------------------------

    def append(self, batch: Sequence[Stored], check: bool = True) -> tuple[int, int]:
        """Append messages. Return by how many messages the cap does not hold, and how many calls were abandoned."""
        if check:
            self._check_pins(sum(one.pinned for one in batch))
        pinned_from = []
        has_new_pin = False
        for drawn in batch:
            self.last_seq += 1
            one = replace(drawn, seq=self.last_seq, calls=[Call(call.id, self.last_seq) for call in drawn.calls])
            own_pin = one.pinned
            has_new_pin |= self._group(one) or own_pin
            self.listed.append(one)
            self.record.append(one)
            if own_pin and not self.pins_group:
                pinned_from.append(one)
            if one.begins_turn and not one.result_of:
                self.user_seq = one.seq
        for one in pinned_from:
            for other in self._group_in(self.listed, one):
                has_new_pin |= not other.pinned
                other.pinned = True
            self.pins_group = bool(self.open) and self._newest_start() <= one.seq
        if has_new_pin and self.cap and self.pins > self.cap / 2:
            self.pins_group = False
        abandoned = 0
        if self.cap and len(self.retained) > self.cap:
            if self.policy != "oldest" and self.open:
                abandoned = self._abandon_for_cap()
            self._trim()
        return max(len(self.retained) - self.cap, 0) if self.cap else 0, abandoned

    def _group(self, one: Stored) -> bool:
        """Put a message behind the others. Return whether the pin of its group pinned it."""
        one.continues = bool(self.open)
        is_new_pin = one.continues and self.pins_group and not one.pinned
        if is_new_pin:
            one.pinned = True
        elif not one.continues:
            self.pins_group = one.pinned
        if one.result_of:
            one.answers = next((call for call in self.open if call.id == one.result_of), None)
            if one.answers:
                one.answers.state = "answered"
                self.open.remove(one.answers)
        for call in one.calls:
            for older in [other for other in self.open if other.id == call.id]:
                older.state = "replaced"
                self.open.remove(older)
            self.open.append(call)
        return is_new_pin

    def _newest_start(self) -> int:
        starts = self._starts()
        return self.listed[starts[-1]].seq if starts else 0

    def _abandon_for_cap(self) -> int:
        excess = len(self.retained) - self.cap
        start = self._starts()[-1] if self._starts() else 0
        force = len(self.listed) - start > 2 * self.cap
        if start >= excess or (not force and self.listed[-1].kind == "t"):
            return 0
        leaving = {one.seq for one in self.listed[:excess]}
        if not force and not any(call.seq in leaving for call in self.open):
            return 0
        still_open = list(self.open)
        return self._regroup(lambda call: call.seq in leaving and (force or call in still_open))

    def _regroup(self, gives_up: Callable[[Call], bool]) -> int:
        """Form the newest group again without some calls. Return how many were given up."""
        start = self._starts()[-1] if self._starts() else 0
        group, self.listed, self.open = self.listed[start:], self.listed[:start], []
        count = 0
        for one in group:
            pinned, calls = one.pinned, one.calls
            for call in calls:
                if call.state != "abandoned" and gives_up(call):
                    call.state, count = "abandoned", count + 1
            one.calls = [call for call in calls if call.state not in ("abandoned",)]
            for call in one.calls:
                call.state = "open"
            self._group(one)
            one.pinned, one.calls = pinned, calls
            self.pins_group = pinned
            self.listed.append(one)
            if one.begins_turn and not one.result_of:
                self.user_seq = max(self.user_seq, one.seq)
        return count

    def _trim(self) -> None:
        while self.listed and (excess := len(self.retained) - self.cap) > 0:
            leaving = self._leaving(min(excess, len(self.listed) - 1))
            if leaving == 0:
                return
            gone, self.listed = self.listed[:leaving], self.listed[leaving:]
            self.aside += [one for one in gone if one.is_kept]
            if self.policy != "oldest" and self.cap > 1:
                self._keep_task(gone)

    def _leaving(self, excess: int) -> int:
        if self.policy == "oldest":
            return excess
        starts = self._starts()
        later = [at for at in starts if at >= excess]
        users = [at for at in later if self.listed[at].kind == "u"]
        if self.policy == "turn" and users:
            return users[0]
        return later[0] if later else starts[-1] if starts else excess

    def _keep_task(self, gone: list[Stored]) -> None:
        users = [one for one in gone if one.kind == "u"]
        task = self.task
        if self.user_seq < self.listed[0].seq:
            task = users[-1].seq if users else task
        elif self.listed[0].kind == "u":
            task = 0
        self.aside += [one for one in users if one.seq == task and one not in self.aside]
        self.aside = sorted(
            (one for one in self.aside if one.is_kept or one.seq == task),
            key=lambda one: one.seq,
        )
        self.task = task

    # -- edits ---------------------------------------------------------------------------------------------------

    def cut(self, after_seq: int) -> list[Stored]:
        """Remove the messages above a seq. Return them."""
        removed = [one for one in self.retained if one.seq > after_seq]
        if any(one.seq > after_seq and one not in self.retained for one in self.record) or (
            any(one.is_summary for one in removed) and after_seq > 0
        ):
            self.counts_exactly = False
        self.edited |= set(range(after_seq + 1, self.last_seq + 1))
        cuts_list = any(one.seq > after_seq for one in self.listed)
        self.listed = [one for one in self.listed if one.seq <= after_seq]
        self.aside = [one for one in self.aside if one.seq <= after_seq]
        self.record = [one for one in self.record if one.seq <= after_seq]
        newest = next((one for one in reversed(self.listed) if one.kind in "ua"), None)
        if self.record and (newest is None or newest.is_summary):
            self.counts_exactly = False  # what was before the newest message of these kinds is not known any more
        if after_seq == 0:
            self.record, self.counts_exactly = [], True
        if self.task > after_seq:
            self.task = 0
        if self.user_seq > after_seq:
            turns = [one.seq for one in self.listed if one.begins_turn and not one.result_of]
            others = [one.seq for one in self.aside if one.kind == "u"]
            self.user_seq = (turns or others or [0])[-1]
        if cuts_list:
            self.open = [call for call in self.open if call.seq <= after_seq]
            for one in removed:
                call = one.answers
                if call and call.state == "answered" and any(call in other.calls for other in self.listed):
                    call.state = "open"
                    self.open.append(call)
            self.open.sort(key=lambda call: call.seq)
            self.pins_group = bool(self.listed) and self.listed[-1].pinned
        if not self.listed:
            self.open = []
        return removed

    def newest_group(self) -> list[Stored]:
        """Return the newest message, or the newest group."""
        retained = self.retained
        at = len(retained) - 1
        while at > 0 and retained[at].continues:
            at -= 1
        return retained[max(at, 0) :]

    def abandon(self, ids: Collection[str] | None) -> int:
        """Give up open calls. Return how many."""
        chosen = [call for call in self.open if ids is None or call.id in ids]
        return self._regroup(lambda call: call in chosen) if chosen else 0

    @staticmethod
    def _group_in(messages: list[Stored], one: Stored) -> list[Stored]:
        at = messages.index(one)
        start, end = at, at + 1
        while start > 0 and messages[start].continues:
            start -= 1
        while end < len(messages) and messages[end].continues:
            end += 1
        return messages[start:end]

    def find(self, seq: int) -> Stored:
        """Return the message with a seq."""
        for one in self.retained:
            if one.seq == seq:
                return one
        raise Refused("MessageNotFound")

    def pin(self, seq: int, pinned: bool) -> bool:
        """Pin or unpin a group. Return whether anything changed."""
        one = self.find(seq)
        if one.pinned == pinned:
            return False
        if one in self.listed:
            group = self._group_in(self.listed, one)
            if pinned:
                self._check_pins(len(group))
            if self.open and self._newest_start() <= seq:
                self.pins_group = pinned
        elif pinned:
            self._check_pins(1)
            group = [one]
        else:
            group = self._group_in(self.aside, one)
        for other in group:
            other.pinned = pinned
        self.aside = [other for other in self.aside if other.is_kept or other.seq == self.task]
        return True

    def ends(self) -> list[int]:
        """Return the seqs of the listed messages with which a group ends."""
        starts = [*self._starts(), len(self.listed)]
        return [self.listed[at - 1].seq for at in starts if at and not (at == len(self.listed) and self.open)]

    def _check_end(self, name: str, seq: int) -> None:
        ends = self.ends()
        if seq not in ends:
            before = max((end for end in ends if end < seq), default=0)
            after = min((end for end in ends if end > seq), default=0)
            raise Refused(f"{name} in_group {before} {after}")

    def compact(self, seq: int, payload: Payload, tokens: int) -> int:
        """Replace the messages up to a seq by a summary. Return the seq of the first."""
        name = "CompactionConflict"
        one = next((one for one in self.listed if one.seq == seq), None)
        if one is None:
            raise Refused(f"{name} {'beyond_end' if seq > self.last_seq else 'dropped'}")
        if one.pinned:
            raise Refused(f"{name} pinned")
        self._check_end(name, seq)
        first = self.listed[0].seq
        gone = [one for one in self.listed if one.seq <= seq]
        self.edited |= set(range(first, seq + 1))
        self.aside = sorted((one for one in [*self.aside, *gone] if one.pinned), key=lambda one: one.seq)
        summary = Stored(seq, "u", payload, tokens, is_summary=True)
        self.listed = [summary, *(one for one in self.listed if one.seq > seq)]
        self.task, self.user_seq = 0, max(self.user_seq, seq)
        return first

    def fork(self, up_to_seq: int | None) -> Transcript:
        """Return the transcript of a fork."""
        listed, last_seq = self.listed, self.last_seq
        if up_to_seq is None:
            calling = self.open[-1].seq if self.open else self.last_seq + 1
            staying = [one for one in listed if one.seq < calling]
            if len(staying) < len(listed):
                last_seq = staying[-1].seq if staying else listed[0].seq - 1
        else:
            if up_to_seq > self.last_seq:
                raise Refused("EditConflict beyond_end")
            staying = [one for one in listed if one.seq <= up_to_seq]
            if staying:
                self._check_end("EditConflict", staying[-1].seq)
            elif up_to_seq > 0 and not any(one.seq <= up_to_seq for one in self.aside):
                raise Refused("EditConflict dropped")
            if len(staying) < len(listed):
                last_seq = staying[-1].seq if staying else min(listed[0].seq - 1, up_to_seq)
        new = self.copy()
        if last_seq < self.last_seq:
            new.cut(last_seq)
            new.last_seq = last_seq
        for call in new.open:
            call.state = "lost"
        new.open, new.pins_group, new.edited = [], False, set()
        if new.cap:
            new._trim()
        return new
