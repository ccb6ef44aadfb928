"""The library against a small model in memory: any sequence of operations leaves both the same."""

from __future__ import annotations

import itertools
import os
from typing import Any, NamedTuple, TypeAlias

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from redis_sessions import LimitExceeded, Message, MessageNotFound, SessionCache, SessionNotActive
from tests.support.servers import Server

STEPS = (400, 60) if os.environ.get("REDIS_SESSIONS_SOAK") else (40, 40)
KINDS = st.sampled_from(["user", "assistant", "call", "system"])
Drawn: TypeAlias = list[tuple[str, str, bool]]
"""Kind, text and pin. A call comes with its result."""
_numbers = itertools.count()


class Stored(NamedTuple):
    """A message as it must be stored."""

    seq: int
    role: str
    text: str
    pinned: bool


def messages_of(drawn: Drawn) -> list[Message]:
    """Return the messages of a batch. A call and its result follow each other."""
    found = []
    for kind, text, pinned in drawn:
        if kind == "call":
            id = f"call-{next(_numbers)}"
            call = {"role": "assistant", "content": text, "tool_calls": [{"id": id}]}
            result = {"role": "tool", "tool_call_id": id, "content": text}
            found += [Message(payload=call, pinned=pinned), Message(payload=result, pinned=pinned)]
        else:
            found.append(Message(kind, text, pinned=pinned))
    return found


class Model:
    """One session as it must be: its retained messages, its pins, its counts."""

    def __init__(self, cap: int, policy: str) -> None:
        self.cap, self.policy = cap, policy
        self.last = self.turns = self.users = self.user_seq = self.task = 0
        self.pending = False
        self.listed: list[Stored] = []
        self.aside: list[Stored] = []
        """Messages that the cap would drop, but that are pinned or the task."""
        self.batches: dict[str, int] = {}

    @property
    def retained(self) -> list[Stored]:
        return self.aside + self.listed

    def pins(self) -> int:
        return sum(one.pinned for one in self.retained)

    def append(self, batch: list[Message]) -> None:
        for message in batch:
            self.last += 1
            self.listed.append(Stored(self.last, message.role, message.content, message.pinned))
            if message.role == "user":
                self.users, self.pending, self.user_seq = self.users + 1, True, self.last
            elif message.role == "assistant":
                self.turns, self.pending = self.turns + self.pending, False
        while leaving := self._leaving(len(self.retained) - self.cap):
            popped, self.listed = self.listed[:leaving], self.listed[leaving:]
            self.aside += [one for one in popped if one.pinned]
            if self.policy != "oldest":
                self._keep_task(popped)

    def _leaving(self, excess: int) -> int:
        """Return how many messages the cap drops next: whole groups, and never the newest one."""
        if excess <= 0 or self.policy == "oldest":
            return max(min(excess, len(self.listed) - 1), 0)
        starts = [at for at, one in enumerate(self.listed) if one.role != "tool"]
        later = [at for at in starts if at >= excess]
        users = [at for at in later if self.listed[at].role == "user"]
        if self.policy == "turn" and users:
            return users[0]
        return (later or starts[-1:])[0]

    def _keep_task(self, popped: list[Stored]) -> None:
        """Keep the newest user message while the transcript does not begin with another one."""
        if 0 < self.user_seq < self.listed[0].seq:
            self.task = self.user_seq
        elif self.listed[0].role == "user":
            self.task = 0
        self.aside += [one for one in popped if one.seq == self.task and not one.pinned]
        self.aside = sorted(one for one in self.aside if one.pinned or one.seq == self.task)

    def group(self, seq: int) -> list[Stored]:
        """Return the message with a seq, and the other message of its group. [] if it is not retained."""
        for part in (self.aside, self.listed):
            found = {one.seq: one for one in part}
            if seq in found:
                first = seq - 1 if found[seq].role == "tool" and seq - 1 in found else seq
                others = [found[first + 1]] if first + 1 in found and found[first + 1].role == "tool" else []
                return [found[first], *others]
        return []

    def set_pin(self, group: list[Stored], pinned: bool) -> None:
        seqs = {one.seq for one in group}
        self.listed, self.aside = (
            [one._replace(pinned=pinned) if one.seq in seqs else one for one in part]
            for part in (self.listed, self.aside)
        )
        self.aside = [one for one in self.aside if one.pinned or one.seq == self.task]

    def clear(self) -> None:
        self.listed, self.aside = [], []
        self.turns = self.users = self.user_seq = self.task = 0
        self.pending = False


class Sessions(RuleBasedStateMachine):
    """Run appends, repeats, pins, clears and state changes on one session."""

    cache: SessionCache
    batches = Bundle("batches")

    def __init__(self) -> None:
        super().__init__()
        self.model: Model | None = None
        self.state: dict[str, Any] = {}
        self.rev = 0

    @rule(cap=st.integers(2, 9), policy=st.sampled_from(["oldest", "tool_safe", "turn"]))
    def create(self, cap: int, policy: Any) -> None:
        if self.model is None:
            self.session = self.cache.create(max_messages=cap, cap_policy=policy)
            self.model = Model(cap, policy)

    @rule(
        target=batches,
        drawn=st.lists(st.tuples(KINDS, st.text(max_size=5), st.booleans()), min_size=1, max_size=6),
        id=st.uuids().map(str),
    )
    def append(self, drawn: Drawn, id: str) -> tuple[str, Drawn]:
        if self.model is not None:
            batch = messages_of(drawn)
            pins = sum(message.pinned for message in batch)
            if pins and self.model.pins() + pins > self.model.cap / 2:
                with pytest.raises(LimitExceeded):
                    self.session.append(*batch, batch_id=id)
            else:
                result = self.session.append(*batch, batch_id=id)
                self.model.batches[id] = result.first_seq
                assert result.first_seq == self.model.last + 1
                self.model.append(batch)
                assert result.over_cap == max(len(self.model.retained) - self.model.cap, 0)
                self.rev += 1
        return id, drawn

    @rule(batch=batches)
    def repeat(self, batch: tuple[str, Drawn]) -> None:
        id, drawn = batch
        if self.model is not None and id in self.model.batches:
            result = self.session.append(*messages_of(drawn), batch_id=id)
            assert (result.duplicate, result.first_seq) == (True, self.model.batches[id])

    @rule(seq=st.integers(1, 40), pinned=st.booleans())
    def pin(self, seq: int, pinned: bool) -> None:
        if self.model is None:
            return
        change = self.session.pin if pinned else self.session.unpin
        group = self.model.group(seq)
        if not group:
            with pytest.raises(MessageNotFound):
                change(seq)
        elif group[0].pinned != pinned and pinned and self.model.pins() + len(group) > self.model.cap / 2:
            with pytest.raises(LimitExceeded):
                change(seq)
        else:
            change(seq)
            if group[0].pinned != pinned:
                self.rev += 1
                self.model.set_pin(group, pinned)

    @rule()
    def clear(self) -> None:
        if self.model is not None:
            self.session.clear()
            self.model.clear()
            self.rev += 1

    @rule(name=st.sampled_from("abc"), value=st.none() | st.integers() | st.text(max_size=4))
    def put(self, name: str, value: Any) -> None:
        if self.model is not None:
            self.session.state.put(name, value)
            self.state[name] = value
            self.rev += 1

    @rule()
    def pause_and_resume(self) -> None:
        if self.model is not None:
            self.session.pause()
            with pytest.raises(SessionNotActive):
                self.session.append({"role": "user"})
            self.session.resume()
            self.rev += 2

    @invariant()
    def both_are_the_same(self) -> None:
        if self.model is None:
            return
        stored = self.session.history()
        assert [(one.seq, one.role, one.content, one.pinned) for one in stored] == self.model.retained
        info = self.session.info()
        assert (info.count, info.last_seq, info.turns, info.user_messages, info.rev) == (
            len(self.model.retained), self.model.last, self.model.turns, self.model.users, self.rev,
        )  # fmt: skip
        assert info.tokens == sum(one.tokens or 0 for one in stored)
        assert self.session.state.all() == self.state
        last = self.session.last_turn()
        is_retained = any(one.seq == self.model.user_seq for one in self.model.retained)
        assert (last.user_message.seq if last else None) == (self.model.user_seq if is_retained else None)


def test_any_sequence_of_operations_matches_model(server: Server, namespace: str) -> None:
    """Any sequence of operations leaves the session of each real engine as the model has it."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        machine = type("Machine", (Sessions,), {"cache": cache})
        run_state_machine_as_test(machine, settings=settings(max_examples=STEPS[0], stateful_step_count=STEPS[1]))
    server.client.flushall()
