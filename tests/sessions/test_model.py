"""The library against a small model in memory: any sequence of operations leaves both the same."""

from __future__ import annotations

import os
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from redis_sessions import LimitExceeded, Message, MessageNotFound, SessionCache, SessionNotActive
from tests.support.servers import Server

STEPS = (400, 60) if os.environ.get("REDIS_SESSIONS_SOAK") else (40, 40)
ROLES = st.sampled_from(["user", "assistant", "tool", "system"])


class Model:
    """One session as it must be: its retained messages, its pins, its counts."""

    def __init__(self, cap: int, policy: str) -> None:
        self.cap, self.policy = cap, policy
        self.last = self.cleared = self.turns = self.users = 0
        self.pending = False
        self.kept: list[tuple[int, str, str, bool]] = []  # seq, role, text, pinned
        self.pinned_trimmed: list[tuple[int, str, str, bool]] = []
        self.batches: dict[str, int] = {}
        self.dropped = 0

    @property
    def retained(self) -> list[tuple[int, str, str, bool]]:
        return self.pinned_trimmed + self.kept

    def pins(self) -> int:
        return sum(pinned for *_, pinned in self.retained)

    def append(self, batch: list[tuple[str, str, bool]]) -> None:
        empty = not self.kept
        for role, text, pinned in batch:
            self.last += 1
            self.kept.append((self.last, role, text, pinned))
            if role == "user":
                self.users, self.pending = self.users + 1, True
            elif role == "assistant":
                self.turns, self.pending = self.turns + self.pending, False
        excess = len(self.retained) - self.cap
        if excess > 0 or empty:
            self._trim(max(excess, 0))
            while len(self.retained) > self.cap:
                self._trim(len(self.retained) - self.cap)

    def _trim(self, leaving: int) -> None:
        if self.policy != "oldest" and (leaving or self.dropped):
            ahead = [at for at in range(leaving, len(self.kept)) if self.kept[at][1] == "user"]
            if self.policy == "turn" and leaving and ahead:
                leaving = ahead[0]
            else:
                while leaving < len(self.kept) and self.kept[leaving][1] == "tool":
                    leaving += 1
        self.dropped += leaving
        self.pinned_trimmed += [message for message in self.kept[:leaving] if message[3]]
        self.kept = self.kept[leaving:]

    def clear(self) -> None:
        self.kept, self.pinned_trimmed, self.dropped = [], [], 0
        self.turns = self.users = 0
        self.pending = False
        self.cleared = self.last


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
        messages=st.lists(st.tuples(ROLES, st.text(max_size=5), st.booleans()), min_size=1, max_size=6),
        id=st.uuids().map(str),
    )
    def append(self, messages: list[tuple[str, str, bool]], id: str) -> tuple[str, list[tuple[str, str, bool]]]:
        if self.model is not None:
            batch = [Message(role, text, pinned=pinned) for role, text, pinned in messages]
            pins = sum(pinned for *_, pinned in messages)
            if pins and self.model.pins() + pins > self.model.cap / 2:
                with pytest.raises(LimitExceeded):
                    self.session.append(*batch, batch_id=id)
            else:
                result = self.session.append(*batch, batch_id=id)
                self.model.batches[id] = result.first_seq
                assert result.first_seq == self.model.last + 1
                self.model.append(messages)
                self.rev += 1
        return id, messages

    @rule(batch=batches)
    def repeat(self, batch: tuple[str, list[tuple[str, str, bool]]]) -> None:
        id, messages = batch
        if self.model is not None and id in self.model.batches:
            result = self.session.append(*[Message(role, text) for role, text, _ in messages], batch_id=id)
            assert (result.duplicate, result.first_seq) == (True, self.model.batches[id])

    @rule(seq=st.integers(1, 40), pinned=st.booleans())
    def pin(self, seq: int, pinned: bool) -> None:
        if self.model is None:
            return
        change = self.session.pin if pinned else self.session.unpin
        found = [message for message in self.model.retained if message[0] == seq]
        if not found:
            with pytest.raises(MessageNotFound):
                change(seq)
        elif found[0][3] != pinned and pinned and self.model.pins() + 1 > self.model.cap / 2:
            with pytest.raises(LimitExceeded):
                change(seq)
        else:
            change(seq)
            if found[0][3] != pinned:
                self.rev += 1
                self.model.pinned_trimmed = [message for message in self.model.pinned_trimmed if message[0] != seq]
                at = [number for number, message in enumerate(self.model.kept) if message[0] == seq]
                if at:
                    self.model.kept[at[0]] = (*found[0][:3], pinned)

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
        assert info.count <= self.model.cap
        assert self.session.state.all() == self.state
        last = self.session.last_turn()
        retained_users = [seq for seq, role, *_ in self.model.kept if role == "user"]
        assert (last.user_message.seq if last else None) == (retained_users[-1] if retained_users else None)


def test_any_sequence_of_operations_matches_model(server: Server, namespace: str) -> None:
    """Any sequence of operations leaves the session of each real engine as the model has it."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        machine = type("Machine", (Sessions,), {"cache": cache})
        run_state_machine_as_test(machine, settings=settings(max_examples=STEPS[0], stateful_step_count=STEPS[1]))
    server.client.flushall()
